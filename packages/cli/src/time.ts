import { invalid } from './action.js'

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/

/** Milliseconds of `1m30s`; 0 of `0`. */
export function parseDuration(text: string): number {
  if (text === '0') return 0
  if (!DURATION.test(text)) throw invalid(`Invalid duration ${JSON.stringify(text)}`, 'Give 500ms, 30s or 1m30s.')
  return [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)].reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNITS[unit ?? ''] ?? 0), 0)
}

/** A moment in ms since 1970: RFC 3339 or a part of it, seconds since 1970, or how long before `now` (`10m`, `1h30m`). */
export function parseTime(text: string, now: number): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  if (DURATION.test(text)) return now - parseDuration(text)
  // A date alone, or one without a zone, is this machine's time.
  const local = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00` : text
  const moment = /^\d{4}-\d\d-\d\dT/.test(local) ? Date.parse(local.replace(/(\.\d{3})\d+/, '$1')) : Number.NaN
  if (Number.isFinite(moment)) return moment
  throw invalid(`Invalid time ${JSON.stringify(text)}`, 'Give 2026-01-31T12:00:00Z, seconds since 1970, or how long ago: 10m.')
}
