import { expect, test } from 'vitest'

import { digestOf } from '../../src/digest.js'
import { ProgressMeter, type PullProgress } from '../../src/images/progress.js'
import { parseReference } from '../../src/reference.js'

test('layers go through their states, bytes are told with their rate, and no more often than is of use', () => {
  const told: PullProgress[] = []
  let now = 0
  const layer = (name: string, size: number, state: 'there' | 'waiting' = 'waiting'): { digest: ReturnType<typeof digestOf>, size: number, state: 'there' | 'waiting' } => ({ digest: digestOf(name), size, state })
  const meter = new ProgressMeter(parseReference('app'), [layer('a', 500, 'there'), layer('b', 1000), layer('c', 200)], (one) => told.push(one), () => now)
  const last = (): unknown => told.map(({ done, total, rate, layers }) => [done, total, Math.round(rate), ...layers.map(({ state }) => state)]).at(-1)
  expect(last()).toEqual([0, 1200, 0, 'there', 'waiting', 'waiting'])
  now = 100
  meter.bytes(1, 100)
  expect(last()).toEqual([100, 1200, 1000, 'there', 'downloading', 'waiting'])
  for (let at = 0; at < 10; at += 1) meter.bytes(1, 10)
  expect(told).toHaveLength(2)
  now = 200
  meter.bytes(1, 100)
  expect(last()).toEqual([300, 1200, 1500, 'there', 'downloading', 'waiting'])
  meter.bytes(1, 10_000)
  expect(last()).toEqual([1000, 1200, 5000, 'there', 'unpacking', 'waiting'])
  meter.finished(1)
  // Another process fetched it.
  meter.finished(2)
  meter.finished(0)
  expect(last()).toEqual([1200, 1200, 6000, 'there', 'done', 'done'])
  now = 5000
  meter.finished(2)
  expect(last()).toEqual([1200, 1200, 0, 'there', 'done', 'done'])
})
