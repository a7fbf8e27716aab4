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

/** Bytes in powers of 1024, as Docker shows memory: `4.2MiB`. */
export function binarySize(bytes: number): string {
  const power = Math.min(5, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10))
  return `${Number((bytes / 1024 ** power).toPrecision(4))}${['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'][power] ?? 'B'}`
}
