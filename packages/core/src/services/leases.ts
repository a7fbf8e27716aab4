import type { Container, ExitStatus, Health, HealthProbe } from '../container/types.js'
import type { Address } from './address.js'
import type { Facts } from './presets/index.js'
import type { Reset, Scope } from './types.js'

/** What a worker asks for. Equal in all but `attempt`: the newest evicts the older. */
export interface Wish {
  readonly slot: number
  /** The service's identity: its configuration file, or nothing, and its name. */
  readonly config: string | undefined
  readonly name: string
  /** Two uses of one name in one file are two instances when they are called differently. */
  readonly as: string
  readonly file: string
  /** Of the file; of the test, where the scope is `test`. */
  readonly attempt: string
  /** Of the file. */
  readonly fileAttempt: string
  readonly scope: Scope
  /** One of several tests that run at the same time: its instance stands beside theirs and evicts none. */
  readonly concurrent: boolean
}

export interface Grant {
  readonly lease: string
  readonly scope: Scope
  readonly reset: Reset
  readonly id: string
  readonly name: string
  readonly image: string
  readonly ip: string
  readonly address: Address
  /** Numbers of UDP ports at that address. */
  readonly udp: Readonly<Record<string, number>>
  /** Told anew after every check. */
  readonly health?: WireHealth | undefined
  /** As other containers see it. */
  readonly inside: Seen
}

/** Its times as JSON has them: texts. */
export type WireHealth = Omit<Health, 'log'> & { readonly log: readonly (Omit<HealthProbe, 'start' | 'end'> & { readonly start: string | Date; readonly end: string | Date })[] }

/** Where something is reached from another container, as plain values. */
export interface Seen {
  readonly host: string
  readonly facts: Facts
}

/** A live instance of a service, of whatever kind. */
export interface Made {
  /** Absent for a server that is not ours. */
  readonly container: Container | undefined
  readonly address: Address
  readonly inside: Seen
  /** Takes it away. */
  end(): Promise<void>
  /** Nobody is led to it any more. */
  detach(): Promise<void>
  /** Back to its prepared state; absent where nobody knows how. */
  readonly reset: (() => Promise<void>) | undefined
  /** Settles when it has ended by itself. */
  readonly exit: Promise<ExitStatus> | undefined
  /** The container is another instance's, of which this is a part. */
  readonly sharesContainer?: boolean
}

/** How an instance ended by itself, and what it printed last. */
export interface Death {
  readonly exit: ExitStatus
  readonly lines: readonly string[]
}

/** What stands behind a lease. */
export interface Held {
  readonly wish: Wish
  readonly made: Made
  readonly death: Death | undefined
}

/** The live instances of a run and who holds them. */
export interface Leases {
  /** The instance of a wish, made if need be. `resets`: when a shared one goes back to its prepared state. */
  take(wish: Wish, resets: Reset, make: Make): Promise<Grant>
  /** Holds an instance for another one that needs it. Returns how to let it go. */
  hold(wish: Wish, holder: string, make: Make): Promise<{ readonly made: Made; release(): Promise<void> }>
  /** Ends an instance of a file or a test when nobody holds it any more; others live as long as the run. */
  giveBack(lease: string): Promise<void>
  /** A file's attempt is over: what it used of shared instances goes back to its prepared state before anybody asks. */
  fileEnded(attempt: string): void
  /** Waits until it has started. Undefined for a lease that was given back. */
  held(lease: string): Promise<Held | undefined>
  /** Ends all but those that `stays` names. */
  end(stays: (held: Held) => boolean): Promise<void>
}

export type Make = (signal: AbortSignal, holder: string) => Promise<Made>

export interface LeaseEvents {
  /** An instance ended by itself while these leases were on it. */
  died(leases: readonly string[], wish: Wish, death: Death, container: Container | undefined): void
  reset(wish: Wish, ms: number): void
  /** A reset that failed: the instance is replaced. */
  resetFailed(wish: Wish, error: unknown): void
}

interface Instance {
  readonly key: string
  readonly wish: Wish
  readonly make: Make
  readonly started: Promise<Made>
  readonly abort: AbortController
  readonly holders: Set<string>
  /** The file's attempt that has used it, since it was as prepared. */
  usedBy: string | undefined
  resets: Reset
  resetting: Promise<boolean> | undefined
  ending: boolean
  death: Death | undefined
}

/**
 * A table of leases. Making is single-flight per key: (slot, service, file, name of the use, and of concurrent tests the
 * test).
 */
export function createLeases(events: LeaseEvents): Leases {
  const instances = new Map<string, Instance>()
  const byLease = new Map<string, Instance>()

  const forget = (instance: Instance): void => {
    if (instances.get(instance.key) === instance) instances.delete(instance.key)
  }
  const end = async (instance: Instance): Promise<void> => {
    forget(instance)
    instance.ending = true
    for (const lease of instance.holders) byLease.delete(lease)
    instance.abort.abort()
    const made = await instance.started.catch(() => undefined)
    await made?.end()
  }
  const letGo = async (instance: Instance, holder: string): Promise<void> => {
    byLease.delete(holder)
    if (!instance.holders.delete(holder) || instance.holders.size > 0) return
    if (isOwn(instance.wish.scope) || instance.death !== undefined) await end(instance)
  }
  const bury = async (instance: Instance, made: Made, exit: ExitStatus): Promise<void> => {
    if (instance.ending) return
    // One that ended by itself is not handed out again.
    forget(instance)
    instance.death = { exit, lines: await lastLines(made.container) }
    await made.detach().catch(() => undefined)
    events.died([...instance.holders], instance.wish, instance.death, made.container)
    // Who holds it may look into its files and log.
    if (instance.holders.size === 0) await made.end().catch(() => undefined)
  }
  const start = (key: string, wish: Wish, resets: Reset, make: Make): Instance => {
    const abort = new AbortController()
    const started = make(abort.signal, key)
    const instance: Instance = {
      key, wish, make, started, abort, holders: new Set(), usedBy: undefined, resets, resetting: undefined, ending: false, death: undefined,
    }
    instances.set(key, instance)
    // Without a run there is neither an instance nor an address left to look after.
    started.then(made => made.exit?.then(exit => bury(instance, made, exit))).catch(() => forget(instance))
    return instance
  }
  const reset = (instance: Instance): Promise<boolean> => instance.resetting ??= (async () => {
    const began = performance.now()
    try {
      await (await instance.started).reset?.()
      events.reset(instance.wish, performance.now() - began)
      return true
    } catch (error) {
      // One that ends meanwhile is nobody's any more.
      if (!instance.ending) events.resetFailed(instance.wish, error)
      return false
    } finally {
      instance.usedBy = undefined
      instance.resetting = undefined
    }
  })()
  const find = (wish: Wish, resets: Reset, make: Make): Instance => {
    const key = keyOf(wish)
    const there = instances.get(key)
    const evicted = isOwn(wish.scope) && there !== undefined && there.wish.attempt !== wish.attempt
    if (evicted) void end(there).catch(() => undefined)
    return there === undefined || evicted ? start(key, wish, resets, make) : there
  }
  const obtain = async (wish: Wish, holder: string, resets: Reset, make: Make): Promise<{ instance: Instance; made: Made }> => {
    const instance = find(wish, resets, make)
    instance.holders.add(holder)
    byLease.set(holder, instance)
    try {
      const made = await instance.started
      if (resets === 'never' || isOwn(wish.scope)) return { instance, made }
      const whole = await instance.resetting ?? true
      const used = instance.usedBy !== undefined && instance.usedBy !== wish.fileAttempt
      if (whole && (!used || await reset(instance))) {
        instance.usedBy = wish.fileAttempt
        return { instance, made }
      }
      // It could not be brought back: another takes its place.
      await end(instance)
      return await obtain(wish, holder, resets, make)
    } catch (error) {
      instance.holders.delete(holder)
      if (byLease.get(holder) === instance) byLease.delete(holder)
      throw error
    }
  }
  return {
    take: async (wish, resets, make) => {
      const lease = `${wish.attempt} ${keyOf(wish)}`
      const { made: { container, address, inside } } = await obtain(wish, lease, resets, make)
      const { host } = address
      return {
        lease, scope: wish.scope, reset: resets, address, inside, udp: address.udp ?? udpOf(container, address), health: container?.health,
        id: container?.id ?? '', name: container?.name ?? host, image: container?.image ?? '', ip: container?.ip ?? host,
      }
    },
    hold: async (wish, holder, make) => {
      const token = `${holder} needs ${keyOf(wish)}`
      const { instance, made } = await obtain(wish, token, 'never', make)
      return { made, release: () => letGo(instance, token) }
    },
    giveBack: async lease => {
      const instance = byLease.get(lease)
      if (instance !== undefined) await letGo(instance, lease)
    },
    fileEnded: attempt => {
      for (const instance of instances.values()) {
        if (instance.usedBy === attempt && instance.resets !== 'never') void reset(instance).then(whole => whole ? undefined : end(instance)).catch(() => undefined)
      }
    },
    held: async lease => {
      const instance = byLease.get(lease)
      if (instance === undefined) return undefined
      const made = await instance.started
      return { wish: instance.wish, made, death: instance.death }
    },
    end: async stays => {
      const all = [...instances.values()]
      await Promise.all(all.map(async instance => {
        const made = await instance.started.catch(() => undefined)
        if (made !== undefined && stays({ wish: instance.wish, made, death: instance.death })) return
        await end(instance).catch(() => undefined)
      }))
    },
  }
}

function udpOf(container: Container | undefined, { host }: Address): Readonly<Record<string, number>> {
  if (container === undefined || container.host !== host) return {}
  return Object.fromEntries(container.udpPorts.map(port => [String(port), container.port(port, 'udp')]))
}

/** As many lines of a log are kept of a container that ended. */
export const SHOWN_LINES = 50

/** The last lines of a container's log; empty when it cannot be read. */
export async function lastLines(container: Pick<Container, 'logs'> | undefined, tail = SHOWN_LINES): Promise<readonly string[]> {
  const lines: string[] = []
  try {
    for await (const { text } of container?.logs({ tail }) ?? []) lines.push(text)
  } catch {
    // Gone with its log.
  }
  return lines
}

/** Whether an instance of this scope belongs to one lease alone. */
export function isOwn(scope: Scope): boolean {
  return scope === 'file' || scope === 'test'
}

export function keyOf({ slot, config, name, as, file, scope, attempt, concurrent }: Omit<Wish, 'fileAttempt'>): string {
  const test = concurrent ? [attempt] : []
  const owner = { run: [], worker: [slot], file: [slot, file, as], test: [slot, file, as, 'test', ...test] }[scope]
  return JSON.stringify([config ?? null, name, ...owner])
}
