import type { Lease, Session, Use } from './client.js'
import type { Scope } from './types.js'

/** The leases that the parts of one test file share by name. */
export interface FileLeases {
  /** Leased once for all who ask under the same name. */
  hold(use: Use): Promise<Lease>
  /** The same, but where each test has its own, only what their leases need is made ready. Answers the scope. */
  begin(use: Use): Promise<Scope>
  /** Given back when the last who held it lets it go. */
  letGo(use: Use): Promise<void>
  /** Who holds what at the moment. */
  held(): readonly (readonly [string, Lease])[]
  /** A name for a further instance of a service: the service's own the first time, with its address. */
  nameFor(name: string, key: string): string
}

interface Shared {
  readonly lease: Promise<Lease>
  settled?: Lease
  users: number
}

export function createFileLeases(session: () => Session): FileLeases {
  const shared = new Map<string, Shared>()
  const named = new Set<string>()
  const beginning = new Map<string, Promise<unknown>>()
  const nameOf = ({ as, name }: Use): string => as ?? name
  const hold = async (use: Use): Promise<Lease> => {
    while (beginning.has(nameOf(use))) await beginning.get(nameOf(use))
    const one: Shared = shared.get(nameOf(use)) ?? { lease: session().lease(use), users: 0 }
    one.users += 1
    shared.set(nameOf(use), one)
    return (one.settled = await one.lease)
  }
  /** In one request: whoever holds nothing yet need not know the scope before it asks. */
  const first = async (use: Use): Promise<Scope> => {
    const lease = await session().begin(use)
    if (lease === undefined) return 'test'
    shared.set(nameOf(use), { lease: Promise.resolve(lease), settled: lease, users: 1 })
    return lease.grant.scope
  }
  return {
    hold,
    begin: async use => {
      const name = nameOf(use)
      while (beginning.has(name)) await beginning.get(name)
      if (shared.has(name)) {
        const scope = await session().prepare(use)
        if (scope !== 'test') await hold(use)
        return scope
      }
      const begun = first(use)
      beginning.set(name, begun.catch(() => undefined))
      try {
        return await begun
      } finally {
        beginning.delete(name)
      }
    },
    letGo: async use => {
      const one = shared.get(nameOf(use))
      if (one === undefined) return
      one.users -= 1
      if (one.users > 0) return
      shared.delete(nameOf(use))
      // One that never started has nothing to give back, and has told who asked for it.
      await (await one.lease.catch(() => undefined))?.giveBack()
    },
    held: () => [...shared].flatMap(([name, { settled }]) => (settled === undefined ? [] : [[name, settled] as const])),
    nameFor: (name, key) => {
      if (named.has(name)) return key
      named.add(name)
      return name
    },
  }
}
