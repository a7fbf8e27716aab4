import type { Made, Make, Wish } from './leases.js'
import type { Supply } from './make.js'
import { databaseOf } from './places.js'
import { environmentOf, exportsOf, factsOf, insideFactsOf, presetOf, type Setting } from './start.js'
import type { StableAddress } from './addresses.js'
import type { Scope, Service } from './types.js'

/** A database of a server that the run shares. */
export interface DatabaseOrder {
  readonly wish: Wish
  readonly service: Service
  /** Of the server. */
  readonly stable: StableAddress
  readonly needs: Readonly<Record<string, object>>
  /** The server itself. */
  readonly server: Make
}

/** Numbers of databases: a slot's own is its number; for others these begin here, and the last is the run's. */
const FIRST_OTHER = 500
const OF_THE_RUN = 1023

/** Makes databases in servers, and numbers them. */
export interface DatabaseMaker {
  make(order: DatabaseOrder): Make
}

export function createDatabaseMaker(supply: Supply): DatabaseMaker {
  /** Per server and number: one that is being dropped has its name until then. */
  const taken = new Map<string, { readonly scope: Scope; readonly over: Promise<void> }>()
  const numberFor = ({ config, name, as, slot, scope, concurrent }: Wish): number => {
    if (scope === 'run') return OF_THE_RUN
    const own = taken.get(keyOf(config, name, slot))
    // A file's own beside the worker's has another name: that one stays until the run ends.
    if (as === name && !concurrent && (own === undefined || own.scope === scope)) return slot
    for (let nth = FIRST_OTHER; ; nth += 1) if (!taken.has(keyOf(config, name, nth))) return nth
  }
  return {
    make: ({ wish, service, stable, needs, server }) => async (signal, holder) => {
      const databases = presetOf(service)?.databases
      const state = presetOf(service)?.state
      const nth = numberFor(wish)
      const key = keyOf(wish.config, wish.name, nth)
      const before = taken.get(key)
      let free = (): void => undefined
      const over = new Promise<void>(resolve => void (free = resolve))
      taken.set(key, { scope: wish.scope, over })
      await before?.over
      const done = (): void => {
        free()
        if (taken.get(key)?.over === over) taken.delete(key)
      }
      const { made, release } = await supply.leases().hold(serverWish(wish), holder, server).catch((error: unknown) => { done(); throw error })
      const { container } = made
      try {
        if (container === undefined || databases === undefined) throw new Error(`${wish.name} has no databases`)
        const began = performance.now()
        const database = databaseOf(service, stable, nth)
        const setting: Setting = { self: stable.self, needs, database }
        const at = { container, env: environmentOf(service, { self: stable.self, needs }) }
        await databases.create(at, database)
        signal.throwIfAborted()
        const address = { ...made.address, facts: factsOf(service, setting), exports: exportsOf(service, setting) }
        supply.journal.note({ event: 'ready', from: 'database', name: wish.as, slot: wish.slot, image: container.image, container: container.id, ms: Math.round(performance.now() - began), host: address.host, ports: address.ports })
        const seen = { host: container.ip, port: (n: number): number => n }
        return {
          container, address, sharesContainer: true,
          inside: { host: container.ip, facts: insideFactsOf(service, seen, setting) },
          exit: made.exit,
          detach: () => Promise.resolve(),
          reset: state === undefined ? undefined : () => state.restore(at, database),
          end: async () => {
            try {
              await databases.drop(at, database)
            } finally {
              done()
              await release()
            }
          },
        } satisfies Made
      } catch (error) {
        done()
        await release()
        throw error
      }
    },
  }
}

/** The server is one for the run, whoever asks first. */
function serverWish(wish: Wish): Wish {
  return { ...wish, name: serverNameOf(wish.name), as: wish.name, scope: 'run', concurrent: false }
}

/** What the server of a service's databases is called among the instances; no service is. */
export function serverNameOf(service: string): string {
  return `${service} server`
}

function keyOf(config: string | undefined, name: string, nth: number): string {
  return JSON.stringify([config ?? null, name, nth])
}
