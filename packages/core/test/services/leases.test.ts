import { expect, test } from 'vitest'
import type { Container, ExitStatus } from '../../src/container/types.js'
import { openAddress } from '../../src/services/addresses.js'
import { createImages } from '../../src/services/images.js'
import { createAdmission } from '../../src/services/admission.js'
import { createJournal } from '../../src/services/journal.js'
import { createLeases, type Grant, type LeaseEvents, type Wish } from '../../src/services/leases.js'
import { makeContainer } from '../../src/services/make.js'
import type { StableAddress } from '../../src/services/addresses.js'
import { createWarmPool } from '../../src/services/pool.js'
import { redis } from '../../src/services/presets/index.js'
import type { Engine } from '../../src/services/start.js'
import type { Reset } from '../../src/services/types.js'

const service = redis({ scope: 'worker' })
const wish = (more: Partial<Wish>): Wish =>
  ({ slot: 1, config: undefined, name: 'cache', as: 'cache', file: '/p/a.test.ts', attempt: '1', fileAttempt: more.attempt ?? '1', scope: 'file', concurrent: false, ...more })

test('the same attempt gets the same instance, another attempt of the same file a fresh one', async () => {
  const { take, leases, log } = bench()
  const [first, again] = await Promise.all([take(wish({})), take(wish({}))])
  expect(again).toEqual(first)
  const second = await take(wish({ attempt: '2' }))
  expect(second.id).not.toBe(first.id)
  await leases.giveBack(first.lease)
  expect([...log].sort()).toEqual(['run c1', 'run c2', 'stop c1'])
  expect(await leases.held(second.lease)).toBeDefined()
})

test('a worker\'s instance outlives its files, and files, slots and names have their own', async () => {
  const { take } = bench()
  const idOf = async (more: Partial<Wish>): Promise<string> => (await take(wish(more))).id
  const worker = await idOf({ scope: 'worker' })
  expect(await idOf({ scope: 'worker', file: '/p/b.test.ts', attempt: '2' })).toBe(worker)
  const ids = [worker, await idOf({ scope: 'worker', slot: 2 }), await idOf({}), await idOf({ as: 'other' }), await idOf({ file: '/p/b.test.ts' })]
  expect(new Set(ids).size).toBe(5)
})

test('one that ended by itself is not handed out again', async () => {
  const { take, kill } = bench()
  const first = await take(wish({ scope: 'worker' }))
  kill(first.id)
  await Promise.resolve()
  expect((await take(wish({ scope: 'worker' }))).id).not.toBe(first.id)
})

test('a failed start is tried anew', async () => {
  const { take, failNext } = bench()
  failNext()
  await expect(take(wish({}))).rejects.toThrow('no')
  expect((await take(wish({}))).id).toBe('c1')
})

test('an address goes to a file\'s own instance and back to the worker\'s', async () => {
  const { take, leases, log, engine } = bench()
  const stable = await openAddress(engine, service, { ports: [6379], udpPorts: [] })
  const worker = await take(wish({ scope: 'worker' }), stable)
  const own = await take(wish({}), stable)
  expect(own.address).toEqual(worker.address)
  expect(own.address).toMatchObject({ host: '198.18.0.9', ports: { 6379: 6379 }, facts: { url: 'redis://198.18.0.9:6379' } })
  await leases.giveBack(own.lease)
  expect(log).toEqual(['run c1', 'aim c1', 'run c2', 'aim c2', 'aim c1', 'stop c2'])
})

test('an address holds connections when its instance has ended', async () => {
  const { take, log, engine, kill } = bench()
  const stable = await openAddress(engine, service, { ports: [], udpPorts: [] })
  const { id } = await take(wish({ scope: 'worker' }), stable)
  kill(id)
  await expect.poll(() => log).toEqual(['run c1', 'aim c1', 'aim nothing'])
})

test('a worker\'s instance goes back to its prepared state between files, and is replaced where that fails', async () => {
  const failures: string[] = []
  const { take, leases, log, failNext } = bench({ resetFailed: (_, error) => void failures.push(String(error)) })
  const worker = (attempt: string): Promise<Grant> => take(wish({ scope: 'worker', attempt, file: `/p/${attempt}.test.ts` }), undefined, 'file')
  const first = await worker('1')
  expect((await worker('1')).id).toBe(first.id)
  expect(log).toEqual(['run c1'])
  expect((await worker('2')).id).toBe(first.id)
  expect(log).toEqual(['run c1', 'reset c1'])
  // Before anybody asks.
  leases.fileEnded('2')
  expect((await worker('3')).id).toBe(first.id)
  expect(log).toEqual(['run c1', 'reset c1', 'reset c1'])
  failNext()
  leases.fileEnded('3')
  const other = await worker('4')
  expect(other.id).not.toBe(first.id)
  expect(failures).toHaveLength(1)
})

test('who held what ended by itself is told, with its last words', async () => {
  const told: unknown[] = []
  const { take, leases, kill } = bench({ died: (ids, { as }, death) => void told.push([ids, as, death.exit.signal]) })
  const { id, lease } = await take(wish({}))
  kill(id)
  await expect.poll(() => told).toEqual([[[lease], 'cache', 'SIGKILL']])
  expect((await leases.held(lease))?.death?.exit.signal).toBe('SIGKILL')
})

test('what is held by a need goes with the last who holds it', async () => {
  const { take, leases, log } = bench()
  const { lease } = await take(wish({}))
  const { release } = await leases.hold(wish({}), 'registry', () => Promise.reject(new Error('it is there already')))
  await leases.giveBack(lease)
  expect(log).toEqual(['run c1'])
  await release()
  expect(log).toEqual(['run c1', 'stop c1'])
})

/** Leases over an engine that only writes down what it was asked. */
function bench(events: Partial<LeaseEvents> = {}) {
  const log: string[] = []
  const ends = new Map<string, (exit: ExitStatus) => void>()
  let failing = false
  let last = 0
  const start = (): Container => {
    last += 1
    const id = `c${String(last)}`
    log.push(`run ${id}`)
    const exit = new Promise<ExitStatus>(resolve => void ends.set(id, resolve))
    const exec = (words: readonly string[]): Promise<object> => {
      const restores = words.join(' ').includes('flushall')
      if (restores) log.push(`reset ${id}`)
      const failed = restores && failing
      if (restores) failing = false
      return Promise.resolve({ exitCode: failed ? 1 : 0, stdout: '', stderr: failed ? 'no' : '' })
    }
    const stop = (): Promise<void> => {
      log.push(`stop ${id}`)
      ends.get(id)?.({ code: 0, signal: undefined, oomKilled: false })
      return Promise.resolve()
    }
    return { id, name: id, ip: '198.18.0.1', host: '198.18.0.1', ports: [6379], udpPorts: [], port: (port: number) => port, exit, stop, exec } as unknown as Container
  }
  const strategy = { description: 'nothing', ready: () => Promise.resolve() }
  const engine: Engine = {
    run: () => {
      const failed = failing
      failing = false
      return failed ? Promise.reject(new Error('no')) : Promise.resolve(start())
    },
    followHealth: () => () => undefined,
    findImage: reference => Promise.resolve({ reference, digest: '', entrypoint: [], command: [], ports: [6379], udpPorts: [], origin: '', pulledAt: 0 }),
    openSnapshot: () => Promise.resolve(undefined),
    alone: (_, work) => work(),
    openHeldAddress: ports => Promise.resolve({
      udp: {},
      host: '198.18.0.9',
      ports: Object.fromEntries(ports.map(port => [String(port), port])),
      aim: container => {
        log.push(`aim ${container?.id ?? 'nothing'}`)
        return Promise.resolve()
      },
      close: () => Promise.resolve(),
    }),
    network: () => Promise.reject(new Error('no network')),
    reach: () => Promise.reject(new Error('nothing to reach')),
    wait: { port: () => strategy, http: () => strategy, log: () => strategy, all: () => strategy },
  }
  const journal = createJournal({})
  const leases = createLeases({ died: () => undefined, reset: () => undefined, resetFailed: () => undefined, ...events })
  const supply = {
    engine, images: createImages(engine, journal), prepared: { of: () => Promise.reject(new Error('nothing to prepare')) }, pool: createWarmPool(0),
    admission: createAdmission({ room: () => true }), journal, leases: () => leases,
  }
  const take = (own: Wish, stable?: StableAddress, resets: Reset = 'never'): Promise<Grant> =>
    leases.take(own, resets, makeContainer(supply, { wish: own, service, stable, inside: undefined, needs: [] }))
  return {
    leases,
    take,
    engine,
    log,
    kill: (id: string) => ends.get(id)?.({ code: -1, signal: 'SIGKILL', oomKilled: false }),
    failNext: () => { failing = true },
  }
}
