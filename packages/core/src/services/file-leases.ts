import type { Lease, Session, Use } from './client.js'

/** The leases that the parts of one test file share by name. */
export interface FileLeases {
  /** Leased once for all who ask under the same name. */
  hold(use: Use): Promise<Lease>
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
  const nameOf = ({ as, name }: Use): string => as ?? name
  return {
    hold: async use => {
      const one: Shared = shared.get(nameOf(use)) ?? { lease: session().lease(use), users: 0 }
      one.users += 1
      shared.set(nameOf(use), one)
      return (one.settled = await one.lease)
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
