import { constants } from 'node:os'

import { MayflyError } from '../errors.js'

const NUMBERS = constants.signals as Readonly<Record<string, number>>
const NAMES = new Map(Object.entries(NUMBERS).map(([name, number]) => [number, name]))
const LARGEST = 64

/** The number of `SIGTERM`, `TERM`, `15` or 15. Throws ERR_MAYFLY_OPTION_INVALID. */
export function signalNumber(signal: string | number): number {
  const text = String(signal).toUpperCase()
  const number = /^\d+$/.test(text) ? Number(text) : realTime(text) ?? numbered(text) ?? NUMBERS[text.startsWith('SIG') ? text : `SIG${text}`]
  if (number !== undefined && number > 0 && number <= LARGEST) return number
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Unknown signal ${JSON.stringify(signal)}`)
}

/** `SIGTERM` of 15; `undefined` of 0. */
export function signalName(number: number): string | undefined {
  return number === 0 ? undefined : NAMES.get(number) ?? `SIG${number}`
}

/** As `signalName` has those without a name. */
function numbered(text: string): number | undefined {
  return /^SIG\d+$/.test(text) ? Number(text.slice(3)) : undefined
}

/** systemd images stop by SIGRTMIN+3; glibc's first real-time signal is 34. */
function realTime(text: string): number | undefined {
  const match = /^(?:SIG)?RTMIN(?:\+(\d+))?$/.exec(text)
  return match === null ? undefined : 34 + Number(match[1] ?? 0)
}
