import { expect, test } from 'vitest'
import { createAdmission } from '../../src/services/admission.js'

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** Sixteen workers' files, with memory for four instances. */
function crowd(places: number) {
  let free = places
  const waiting: string[] = []
  const admission = createAdmission({ room: starting => free - starting > 0, pause: 1, waits: ({ owner }) => void waiting.push(owner) })
  const order: string[] = []
  const enter = async (owner: string, passing = true, signal?: AbortSignal): Promise<() => void> => {
    const entry = await admission.enter({ slot: 1, owner, name: 'db', passing }, signal)
    order.push(owner)
    free -= 1
    entry.settle()
    return () => {
      free += 1
      entry.leave()
    }
  }
  return { enter, order, waiting }
}

test('when memory is short, files wait in turn, and all come through', async () => {
  const { enter, order, waiting } = crowd(4)
  const done: string[] = []
  await Promise.all(Array.from({ length: 16 }, async (_, nth) => {
    const leave = await enter(String(nth))
    await turn()
    done.push(String(nth))
    leave()
  }))
  expect(done).toHaveLength(16)
  expect(waiting.length).toBeGreaterThan(0)
  expect(order).toEqual([...order].sort((a, b) => Number(a) - Number(b)))
})

test('who has something already goes on: nobody waits with half of what it needs', async () => {
  const { enter, order } = crowd(1)
  const leaves = [await enter('a')]
  const waits = enter('b')
  leaves.push(await enter('a'), await enter('a'))
  expect(order).toEqual(['a', 'a', 'a'])
  for (const leave of leaves) leave()
  await waits
  expect(order).toEqual(['a', 'a', 'a', 'b'])
})

test('what lives as long as the run is not waited for', async () => {
  const { enter, order } = crowd(1)
  await enter('a', false)
  // There is no memory, and nobody who would give any back.
  await enter('b', false)
  await enter('c')
  expect(order).toEqual(['a', 'b', 'c'])
})

test('who gives up leaves the queue', async () => {
  const { enter } = crowd(1)
  const leave = await enter('a')
  const stop = new AbortController()
  const given = enter('b', true, stop.signal)
  const next = enter('c')
  stop.abort()
  await expect(given).rejects.toMatchObject({ code: 'ERR_MAYFLY_ABORTED' })
  leave()
  await next
})
