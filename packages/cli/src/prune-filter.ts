import { invalid } from './action.js'
import { parseTime } from './time.js'

/** What may be taken away. */
export interface Prunable {
  readonly createdAt: Date | undefined
  readonly labels: Readonly<Record<string, string>>
}

/** `until=TIME`, `label=NAME[=VALUE]`, `label!=NAME[=VALUE]`. */
export function pruneCondition(text: string, now: number): (one: Prunable) => boolean {
  const [, name, not, value = ''] = /^(until|label)(!?)=(.*)$/s.exec(text) ?? []
  if (name === 'until' && not === '') {
    const before = parseTime(value, now)
    return ({ createdAt }) => Number(createdAt ?? now) < before
  }
  if (name === 'label') {
    const [label = '', wanted] = value.split(/=(.*)/s)
    return ({ labels }) => (label in labels && (wanted === undefined || labels[label] === wanted)) === (not === '')
  }
  throw invalid(`Invalid filter ${JSON.stringify(text)}`, 'Filters are until=TIME, label=NAME[=VALUE] and label!=NAME[=VALUE].')
}
