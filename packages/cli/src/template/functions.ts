/** Go calls empty what is false, zero, nil, or has nothing in it. */
export function truth(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return Boolean(value)
}

/** A value as Go prints it. */
export function show(value: unknown): string {
  if (value === undefined || value === null) return '<no value>'
  if (Array.isArray(value)) return `[${value.map(inner).join(' ')}]`
  if (typeof value === 'object') {
    return `map[${Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, one]) => `${key}:${inner(one)}`).join(' ')}]`
  }
  return String(value as string | number | boolean)
}

function inner(value: unknown): string {
  return value === undefined || value === null ? '<nil>' : show(value)
}

/** An own property, or nothing: what a template names is data. */
export function property(value: unknown, key: unknown): unknown {
  if (typeof value === 'string' && typeof key === 'number') return value.charCodeAt(key)
  if (typeof value !== 'object' || value === null) return undefined
  const name = String(key as string | number)
  return Object.hasOwn(value, name) && !(Array.isArray(value) && name === 'length') ? (value as Record<string, unknown>)[name] : undefined
}

type Callable = (...words: readonly unknown[]) => unknown

const text = (value: unknown): string => (typeof value === 'string' ? value : show(value))
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value as unknown[] : [])
const number = (value: unknown): number => (typeof value === 'number' ? value : Number(text(value)))
const order = (a: unknown, b: unknown): number => {
  if (typeof a === 'string' || typeof b === 'string') return text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0
  return number(a) - number(b)
}
/** `printf`'s verbs that make sense for what commands show. */
const format = (pattern: unknown, words: readonly unknown[]): string => {
  const left = [...words]
  return text(pattern).replaceAll(/%(-?)(\d*)([sdvqt%])/g, (_, minus: string, width: string, verb: string) => {
    if (verb === '%') return '%'
    const value = left.shift()
    const shown = verb === 'q' ? JSON.stringify(text(value)) : text(value)
    return minus === '-' ? shown.padEnd(Number(width)) : shown.padStart(Number(width))
  })
}

/** What can be called in a template: Go's own and Docker's. */
export const FUNCTIONS: ReadonlyMap<string, Callable> = new Map<string, Callable>([
  // Go's encoder escapes these, so that JSON can stand in HTML; Docker switches that off.
  ['json', (value) => JSON.stringify(value ?? null)],
  ['index', (value, ...keys) => keys.reduce((at, key) => property(at, key), value)],
  ['len', (value) => (typeof value === 'string' ? Buffer.byteLength(value) : Array.isArray(value) ? value.length : Object.keys(value ?? {}).length)],
  ['join', (values, separator) => list(values).map(text).join(text(separator))],
  ['split', (value, separator) => text(value).split(text(separator))],
  ['upper', (value) => text(value).toUpperCase()],
  ['lower', (value) => text(value).toLowerCase()],
  ['title', (value) => text(value).replaceAll(/(^|\s)(\S)/g, (all) => all.toUpperCase())],
  ['truncate', (value, length) => text(value).slice(0, number(length))],
  ['pad', (value, before, after) => (text(value) === '' ? '' : `${' '.repeat(number(before))}${text(value)}${' '.repeat(number(after))}`)],
  ['slice', (value, from, to) => (typeof value === 'string' ? value : list(value)).slice(number(from ?? 0), to === undefined ? undefined : number(to))],
  ['print', (...words) => words.map(text).join('')],
  ['println', (...words) => `${words.map(text).join(' ')}\n`],
  ['printf', (pattern, ...words) => format(pattern, words)],
  ['not', (value) => !truth(value)],
  ['and', (...words) => words.find((value) => !truth(value)) ?? words.at(-1)],
  ['or', (...words) => words.find(truth) ?? words.at(-1)],
  ['eq', (value, ...others) => others.some((other) => value === other)],
  ['ne', (a, b) => a !== b],
  ['lt', (a, b) => order(a, b) < 0],
  ['le', (a, b) => order(a, b) <= 0],
  ['gt', (a, b) => order(a, b) > 0],
  ['ge', (a, b) => order(a, b) >= 0],
])
