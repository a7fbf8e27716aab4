import { MayflyError } from './errors.js'

const BINARY: Readonly<Record<string, number>> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 }
const MILLISECONDS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 36e5 }

/** Bytes of a number or of text such as `512m`, `1.5GiB`, `64kb` (all powers of 1024). Throws ERR_MAYFLY_OPTION_INVALID. */
export function parseSize(size: number | string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgt]?)(?:i?b)?$/i.exec(String(size).trim())
  const bytes = match === null ? Number.NaN : Math.floor(Number(match[1]) * (BINARY[(match[2] ?? '').toLowerCase()] ?? 1))
  if (Number.isSafeInteger(bytes)) return bytes
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid size ${JSON.stringify(size)}`, {
    hint: 'Give bytes as a number, or text such as "256m" or "2g".',
  })
}

/** Milliseconds of a number (of milliseconds) or of text such as `1m30s`, `250ms`. Throws ERR_MAYFLY_OPTION_INVALID. */
export function parseDuration(duration: number | string): number {
  const milliseconds = typeof duration === 'number' ? duration : sumOfParts(duration.trim())
  if (Number.isFinite(milliseconds) && milliseconds >= 0) return milliseconds
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid duration ${JSON.stringify(duration)}`, {
    hint: 'Give milliseconds as a number, or text such as "30s" or "1m30s".',
  })
}

/** Bytes as people read them: `12.3 MiB`. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${power === 0 ? value : value.toFixed(1)} ${units[power] ?? 'B'}`
}

function sumOfParts(text: string): number {
  if (/^\d+$/.test(text)) return Number(text)
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return Number.NaN
  let sum = 0
  for (const [, value, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    sum += Number(value) * (MILLISECONDS[unit ?? ''] ?? Number.NaN)
  }
  return sum
}
