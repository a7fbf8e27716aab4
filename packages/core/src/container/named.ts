import { MayflyError } from '../errors.js'
import { createNetwork } from './network.js'
import type { ConnectOptions, Container, Network, NetworkMember, NetworkOptions } from './types.js'

/** What is told of a named network to those who did not make it. */
export interface NetworkListing {
  readonly id: string
  readonly name: string
  readonly internal: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt: string
  readonly subnet: string
  readonly gateway: string
  readonly ipRange: string | undefined
  readonly containers: readonly NetworkMember[]
}

/** A wish about the networks of the background run. */
export type NetworkRequest =
  | { readonly act: 'create', readonly options: NetworkOptions }
  | { readonly act: 'list' }
  | { readonly act: 'remove', readonly network: string }
  | { readonly act: 'prune' }
  | { readonly act: 'connect', readonly network: string, readonly container: string, readonly options: ConnectOptions }
  | { readonly act: 'disconnect', readonly network: string, readonly container: string }

/** The networks of the background run, by name and id. */
export class NamedNetworks {
  readonly #networks = new Set<Network>()

  get size(): number {
    return this.#networks.size
  }

  /** Throws ERR_MAYFLY_NETWORK_NOT_FOUND. */
  find(which: string): Network {
    const all = [...this.#networks]
    const found = all.find(({ id, name }) => id === which || name === which) ?? all.find(({ id }) => which.length >= 4 && id.startsWith(which))
    if (found !== undefined) return found
    throw new MayflyError('ERR_MAYFLY_NETWORK_NOT_FOUND', `No such network: ${which}`, { hint: `Make it first: mayfly network create ${which}` })
  }

  async carryOut(request: NetworkRequest, container: (which: string) => Container): Promise<unknown> {
    if (request.act === 'create') {
      const made = await createNetwork(request.options)
      this.#networks.add(made)
      return made.id
    }
    if (request.act === 'list') return [...this.#networks].map(listing)
    if (request.act === 'prune') return Promise.all([...this.#networks].filter(({ containers }) => containers.length === 0).map((one) => this.#remove(one)))
    const network = this.find(request.network)
    if (request.act === 'remove') return this.#remove(network)
    if (request.act === 'connect') await network.connect(container(request.container), request.options)
    else await network.disconnect(container(request.container))
    return undefined
  }

  async #remove(network: Network): Promise<string> {
    await network.remove()
    this.#networks.delete(network)
    return network.name
  }
}

function listing({ id, name, internal, labels, createdAt, subnet, gateway, ipRange, containers }: Network): NetworkListing {
  return { id, name, internal, labels, createdAt: createdAt.toISOString(), subnet, gateway, ipRange, containers }
}
