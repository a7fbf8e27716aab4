import { invalid } from './action.js'

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** A moment in ms since 1970: RFC 3339 or a part of it, seconds since 1970, or how long before `now` (`10m`, `1h30m`). */
export function parseTime(text: string, now: number): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  if (/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) {
    return now - [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)].reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNITS[unit ?? ''] ?? 0), 0)
  }
  // A date alone, or one without a zone, is this machine's time.
  const local = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00` : text
  const moment = /^\d{4}-\d\d-\d\dT/.test(local) ? Date.parse(local.replace(/(\.\d{3})\d+/, '$1')) : Number.NaN
  if (Number.isFinite(moment)) return moment
  throw invalid(`Invalid time ${JSON.stringify(text)}`, 'Give 2026-01-31T12:00:00Z, seconds since 1970, or how long ago: 10m.')
}
