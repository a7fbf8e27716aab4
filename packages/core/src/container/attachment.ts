import { formatAddress } from '../network/addresses.js'
import { HOST_NAMES } from '../network/names.js'
import { hostsFile, type Link, type Neighbour, type ResolvedOptions } from '../sandbox/index.js'
import { refreshHosts } from './hosts.js'
import type { Plug, PrivateNetwork } from './network.js'
import type { Slot } from './slot.js'
import type { Member, Run } from './supervision.js'

/** A container's place in the networks it is started on. */
export interface Attachment {
  /** Of its main network; none where it has none. */
  readonly address: number | undefined
  /** Its interfaces on private networks, those it was connected to later included. */
  links(): readonly Link[]
  /** The content of /etc/hosts at the moment. */
  hosts(): string
  /** To be called when it runs: from now on others find it, and it them. */
  running(): Promise<void>
  /** It has another name from now on. */
  rename(name: string): Promise<void>
  /** Gives its addresses and names back. Harmless when there are none. */
  leave(): void
}

interface Own {
  readonly id: string
  name: string
  readonly hostname: string
}

/** The content of /etc/hosts of a container at an address. */
export function hostsOf(
  run: Pick<Run, 'hello'>, { address, hostname }: { readonly address: number | undefined; readonly hostname: string },
  extraHosts: ResolvedOptions['extraHosts'], neighbours: readonly Neighbour[] = [],
): string {
  if (address === undefined) return hostsFile(undefined, extraHosts, neighbours)
  const host = { ip: formatAddress(run.hello.gateway), names: HOST_NAMES }
  return hostsFile({ ip: formatAddress(address), hostname }, extraHosts, [host, ...neighbours])
}

/** Takes addresses and names on `networks`. `shared` is the address of the container whose network it shares. */
export function attach(
  run: Run, slot: Slot, own: Own, networks: readonly PrivateNetwork[],
  { aliases = [], ip, extraHosts, dns, shared, resolv }: Pick<ResolvedOptions, 'extraHosts' | 'dns'> & {
    readonly resolv: string; readonly aliases?: readonly string[] | undefined; readonly ip?: string | undefined; readonly shared: number | undefined
  },
): Attachment {
  const joined = [...networks]
  const plugs: Plug[] = []
  try {
    for (const [number, one] of networks.entries()) plugs.push(one.plug(own, number, { aliases, ip: number === 0 ? ip : undefined }, dns))
  } catch (error) {
    for (const one of networks.slice(0, plugs.length)) one.unplug(own)
    throw error
  }
  const address = plugs[0]?.address ?? shared ?? slot.address
  const hosts = (): string => hostsOf(run, { address, hostname: own.hostname }, extraHosts, joined.flatMap((one) => one.neighbours(own.id)))
  const announce = async (): Promise<void> => void await Promise.all(joined.map((one) => one.announce()))
  return {
    address,
    // A prepared place has an interface already, on the run's own network.
    links: () => joined.flatMap((one) => one.linkOf(own.id, slot.address === undefined ? undefined : { address: slot.address, prefix: run.hello.prefix })),
    hosts,
    running: async () => {
      const member: Member = {
        ...own, address, hosts, resolv, networks: joined, connection: run.connection, owned: slot.address !== undefined, onRun: slot.address !== undefined && networks.length === 0,
        written: hosts(), refreshing: Promise.resolve(),
      }
      run.members.set(own.id, member)
      if (joined.length > 0) await Promise.all([announce(), refreshHosts(member)])
    },
    rename: async (name) => {
      own.name = name
      const member = run.members.get(own.id)
      if (member !== undefined) run.members.set(own.id, Object.assign(member, { name }))
      for (const one of joined) one.rename(own.id, name)
      await announce()
    },
    leave: () => {
      run.members.delete(own.id)
      const left = joined.splice(0)
      for (const one of left) one.unplug(own)
      void Promise.all(left.map((one) => one.announce()))
    },
  }
}
