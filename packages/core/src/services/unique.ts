/** Once, before any test can replace a clock or the random numbers. */
const origin = `${String(process.pid)}-${String(process.hrtime.bigint())}-${Math.random().toString(36).slice(2)}`
let last = 0

/** A name that nobody else in the run gives: no secret. node:crypto would take every test file 3 ms to load. */
export function uniqueName(): string {
  last += 1
  return `${origin}-${String(last)}`
}
