import { expect, test } from 'vitest'
import type { Container, ExitStatus } from '../../src/container/types.js'
import { createWarmPool, type WarmPool } from '../../src/services/pool.js'

const turn = (): Promise<void> => new Promise(resolve => setImmediate(() => setImmediate(resolve)))

function starter(): { start: () => Promise<Container>; started: string[]; end: (id: string) => void } {
  const started: string[] = []
  const ends = new Map<string, (exit: ExitStatus) => void>()
  const start = (): Promise<Container> => {
    const id = `c${String(started.length + 1)}`
    started.push(id)
    const exit = new Promise<ExitStatus>(resolve => void ends.set(id, resolve))
    return Promise.resolve({ id, exit } as unknown as Container)
  }
  return { start, started, end: id => ends.get(id)?.({ code: 0, signal: undefined, oomKilled: false }) }
}

async function take(pool: WarmPool, key: string, start: () => Promise<Container>): Promise<void> {
  (await pool.take(key, start)).refill()
}

test('the next one is not started before whoever asked is answered', async () => {
  const { start, started } = starter()
  const pool = createWarmPool(4)
  await take(pool, 'k', start)
  const { refill } = await pool.take('k', start)
  await turn()
  expect(started).toEqual(['c1', 'c2'])
  refill()
  await turn()
  expect(started).toEqual(['c1', 'c2', 'c3'])
})

test('nothing is started ahead of the first lease; from the second on one waits', async () => {
  const { start, started } = starter()
  const pool = createWarmPool(4)
  const take = async (): Promise<string> => {
    const { container, waited, refill } = await pool.take('k', start)
    refill()
    await turn()
    return `${container.id} ${waited ? 'waited' : 'new'}`
  }
  expect(await take()).toBe('c1 new')
  expect(started).toEqual(['c1'])
  expect(await take()).toBe('c2 new')
  expect(started).toEqual(['c1', 'c2', 'c3'])
  expect(await take()).toBe('c3 waited')
  expect(started).toEqual(['c1', 'c2', 'c3', 'c4'])
})

test('leases that find none let more wait, up to the limit', async () => {
  const { start, started } = starter()
  const pool = createWarmPool(2)
  await Promise.all(Array.from({ length: 5 }, () => take(pool, 'k', start)))
  await turn()
  expect(started).toHaveLength(7)
})

test('one that ended while it waited is not handed out, and a failed start is nobody\'s', async () => {
  const { start, started, end } = starter()
  const pool = createWarmPool(1)
  await take(pool, 'k', start)
  await take(pool, 'k', start)
  await turn()
  end('c3')
  await turn()
  expect((await pool.take('k', start)).container.id).toBe('c4')
  expect(started).toHaveLength(4)
})

test('what is another thing has a pool of its own', async () => {
  const { start, started } = starter()
  const pool = createWarmPool(4)
  await take(pool, 'a', start)
  await take(pool, 'b', start)
  await turn()
  expect(started).toEqual(['c1', 'c2'])
})
