import { expect, test } from 'vitest'
import type { Container, ExitStatus } from '../../src/container/types.js'
import { openAddress } from '../../src/services/addresses.js'
import { createImages } from '../../src/services/images.js'
import { createLeases, type Leases, type Wish } from '../../src/services/leases.js'
import { createWarmPool } from '../../src/services/pool.js'
import { redis } from '../../src/services/presets/index.js'
import type { Engine } from '../../src/services/start.js'

const service = redis({ scope: 'worker' })
const wish = (more: Partial<Wish>): Wish =>
  ({ slot: 1, config: '/p/mayfly.config.ts', name: 'cache', as: 'cache', file: '/p/a.test.ts', attempt: '1', scope: 'file', concurrent: false, ...more })

test('the same attempt gets the same instance, another attempt of the same file a fresh one', async () => {
  const { leases, log } = bench()
  const [first, again] = await Promise.all([leases.take(wish({}), service, () => undefined), leases.take(wish({}), service, () => undefined)])
  expect(again).toEqual(first)
  const second = await leases.take(wish({ attempt: '2' }), service, () => undefined)
  expect(second.id).not.toBe(first.id)
  await leases.giveBack(first.lease)
  expect([...log].sort()).toEqual(['run c1', 'run c2', 'stop c1'])
  expect(await leases.container(second.lease)).toBeDefined()
})

test('a worker\'s instance outlives its files, and files, slots and names have their own', async () => {
  const { leases } = bench()
  const take = async (more: Partial<Wish>): Promise<string> => (await leases.take(wish(more), service, () => undefined)).id
  const worker = await take({ scope: 'worker' })
  expect(await take({ scope: 'worker', file: '/p/b.test.ts', attempt: '2' })).toBe(worker)
  const ids = [worker, await take({ scope: 'worker', slot: 2 }), await take({}), await take({ as: 'other' }), await take({ file: '/p/b.test.ts' })]
  expect(new Set(ids).size).toBe(5)
})

test('one that ended by itself is not handed out again', async () => {
  const { leases, kill } = bench()
  const first = await leases.take(wish({ scope: 'worker' }), service, () => undefined)
  kill(first.id)
  await Promise.resolve()
  expect((await leases.take(wish({ scope: 'worker' }), service, () => undefined)).id).not.toBe(first.id)
})

test('a failed start is tried anew', async () => {
  const { leases, failNext } = bench()
  failNext()
  await expect(leases.take(wish({}), service, () => undefined)).rejects.toThrow('no')
  expect((await leases.take(wish({}), service, () => undefined)).id).toBe('c1')
})

test('an address goes to a file\'s own instance and back to the worker\'s', async () => {
  const { leases, log, engine } = bench()
  const stable = await openAddress(engine, service, [6379])
  const worker = await leases.take(wish({ scope: 'worker' }), service, () => Promise.resolve(stable))
  const own = await leases.take(wish({}), service, () => Promise.resolve(stable))
  expect(own.address).toEqual(worker.address)
  expect(own.address).toMatchObject({ host: '198.18.0.9', ports: { 6379: 6379 }, facts: { url: 'redis://198.18.0.9:6379' } })
  await leases.giveBack(own.lease)
  expect(log).toEqual(['run c1', 'aim c1', 'run c2', 'aim c2', 'aim c1', 'stop c2'])
})

test('an address holds connections when its instance has ended', async () => {
  const { leases, log, engine, kill } = bench()
  const stable = await openAddress(engine, service, [])
  const { id } = await leases.take(wish({ scope: 'worker' }), service, () => Promise.resolve(stable))
  kill(id)
  await new Promise(resolve => setImmediate(resolve))
  expect(log.at(-1)).toBe('aim nothing')
})

/** Leases over an engine that only writes down what it was asked. */
function bench(): { leases: Leases; engine: Engine; log: string[]; kill: (id: string) => void; failNext: () => void } {
  const log: string[] = []
  const ends = new Map<string, (exit: ExitStatus) => void>()
  let failing = false
  let last = 0
  const start = (): Container => {
    last += 1
    const id = `c${String(last)}`
    log.push(`run ${id}`)
    const exit = new Promise<ExitStatus>(resolve => void ends.set(id, resolve))
    const stop = (): Promise<void> => {
      log.push(`stop ${id}`)
      ends.get(id)?.({ code: 0, signal: undefined, oomKilled: false })
      return Promise.resolve()
    }
    return { id, name: id, ip: '198.18.0.1', host: '198.18.0.1', ports: [6379], port: (port: number) => port, exit, stop } as unknown as Container
  }
  const strategy = { description: 'nothing', ready: () => Promise.resolve() }
  const engine: Engine = {
    run: () => {
      const failed = failing
      failing = false
      return failed ? Promise.reject(new Error('no')) : Promise.resolve(start())
    },
    findImage: reference => Promise.resolve({ reference, digest: '', ports: [6379], origin: '', pulledAt: 0 }),
    openSnapshot: () => Promise.resolve(undefined),
    alone: (_, work) => work(),
    openHeldAddress: ports => Promise.resolve({
      host: '198.18.0.9',
      ports: Object.fromEntries(ports.map(port => [String(port), port])),
      aim: container => {
        log.push(`aim ${container?.id ?? 'nothing'}`)
        return Promise.resolve()
      },
      close: () => Promise.resolve(),
    }),
    wait: { port: () => strategy, http: () => strategy, log: () => strategy, all: () => strategy },
  }
  return {
    leases: createLeases({ engine, images: createImages(engine), prepared: { of: () => Promise.reject(new Error('nothing to prepare')) }, pool: createWarmPool(0) }),
    engine,
    log,
    kill: id => ends.get(id)?.({ code: -1, signal: 'SIGKILL', oomKilled: false }),
    failNext: () => { failing = true },
  }
}
