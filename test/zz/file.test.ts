import { run, wait } from '@mayfly/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { failure, nothingLeft, openPlace, type Place } from '../place.js'

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(() => place.close())

test('file', { timeout: 600_000 }, async () => {
  const until = Date.now() + Number(process.env['SECS'] ?? 60) * 1000
  let n = 0
  while (Date.now() < until) {
    const began = performance.now()
    const waiting = [{ ready: wait.file('/never') }, { ports: [8080] }, { ready: wait.log('never') }][n % 3 === 0 ? 0 : n % 3]!
    const error = await failure(run('busybox', { command: ['sh', '-c', 'echo one; echo two >&2; exit 3'], name: 'bad', startTimeout: 60_000, ...waiting }))
    const took = performance.now() - began
    if (took > 500) console.log('took', n, took)
    if (error.code !== 'ERR_MAYFLY_CONTAINER_EXITED') console.log(n, error)
    try { await nothingLeft() } catch (e) { console.log(n, String((e as Error).message)); throw e }
    n += 1
  }
  console.log('rounds', n)
  expect(n).toBeGreaterThan(1)
})
