const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** Bytes in Docker's words: powers of 1000, three digits: `4.26MB`, `126MB`. */
export function humanSize(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${Number(value.toPrecision(3))}${UNITS[unit] ?? ''}`
}
