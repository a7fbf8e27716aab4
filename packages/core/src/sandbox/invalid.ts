import { MayflyError } from '../errors.js'

/** The error for an option's value, naming the option, the value and what is allowed. */
export function invalid(option: string, value: unknown, allowed: string, hint?: string): MayflyError {
  const shown = typeof value === 'bigint' || value === undefined ? String(value) : JSON.stringify(value)
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid ${option} ${shown}: ${allowed}`, { hint, details: { option } })
}

/** The error for options that cannot both be meant. */
export function contradiction(one: string, other: string, why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${one} and ${other} contradict each other: ${why}`, {
    hint: `Leave ${one} or ${other} out.`, details: { options: [one, other] },
  })
}

/** An absolute path without `.`, `..` or doubled slashes. */
export function absolute(option: string, path: string): string {
  if (typeof path !== 'string' || !path.startsWith('/') || path.includes('\0')) throw invalid(option, path, 'it is not an absolute path')
  const names: string[] = []
  for (const name of path.split('/')) {
    if (name === '..') names.pop()
    else if (name !== '' && name !== '.') names.push(name)
  }
  return `/${names.join('/')}`
}

/** A whole number within bounds. */
export function integer(option: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value
  throw invalid(option, value, most === Number.MAX_SAFE_INTEGER ? `a whole number from ${least}` : `a whole number from ${least} to ${most}`)
}
