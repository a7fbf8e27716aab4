import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'

import { MayflyError } from '../errors.js'
import { METHOD, Reader } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { Addresses, formatAddress } from '../network/addresses.js'
import { addressesOf, chooseSubnet, chosenAddress, formatSubnet, parseRoutes, refuseOverlap, type Chosen, type MachineRoute } from '../network/chosen.js'
import { checkAliases, hostsEntries } from '../network/names.js'
import type { Subnet } from '../network/subnets.js'
import type { Link, Neighbour } from '../sandbox/index.js'
import { directionsOf, separate } from './faults.js'
import type { Fault } from './fault-types.js'
import { refreshHosts } from './hosts.js'
import { announceNames, type Asking } from './nameserver.js'
import { reachFrom } from './reach.js'
import { currentRun, type Member, type Run } from './supervision.js'
import type { ConnectOptions, Container, Listening, Network, NetworkMember, NetworkOptions, PartitionOptions, Reached, Side } from './types.js'

/** A container's interface on a network. */
export interface Plug extends Asking {
  readonly id: string
  readonly name: string
  readonly aliases: readonly string[]
  /** Of its interface, eth`number`. */
  readonly number: number
}

const [INTERNAL, FOREIGN] = [1, 2]

/** See `network`. */
export async function createNetwork({ name, internal = false, size, labels = {}, ...wish }: NetworkOptions = {}): Promise<Network> {
  const run = await currentRun()
  if (run.subnets === undefined) {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', 'This machine gives Mayfly no network for its containers', { hint: '`mayfly doctor` says what is missing.' })
  }
  if (name !== undefined && !/^[a-zA-Z0-9][\w.-]{0,127}$/.test(name)) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid name ${JSON.stringify(name)} of a network: letters, digits, dots, hyphens and underscores, the first a letter or digit`)
  }
  if (name !== undefined && [...run.networks].some((other) => other.name === name)) {
    throw new MayflyError('ERR_MAYFLY_NAME_IN_USE', `There is a network named ${name} already`)
  }
  const chosen = chooseSubnet(wish)
  if (chosen !== undefined && size !== undefined) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'size and subnet contradict each other: a subnet has its size')
  if (chosen !== undefined) refuseOverlap(chosen.subnet, [...run.networks].map((other) => ({ name: other.name, subnet: other.block })), run.reachable ? machineRoutes() : [])
  const made = new PrivateNetwork(run, { name, internal, labels, subnet: chosen?.subnet ?? run.subnets.take(size), chosen })
  run.networks.add(made)
  try {
    await made.open()
    run.events.tellNetwork('create', made)
    return made
  } catch (error) {
    made.forget()
    throw error
  }
}

/** Whoever is not on the machine's own network takes nothing away from it. */
function machineRoutes(): readonly MachineRoute[] {
  return parseRoutes(readFileSync('/proc/net/route', 'utf8'))
}

/** A network of this process's run. */
export class PrivateNetwork implements Network {
  readonly id = randomBytes(32).toString('hex')
  readonly name: string
  readonly internal: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt = new Date()
  readonly run: Run
  readonly block: Subnet
  readonly #chosen: Chosen | undefined
  readonly #addresses: Addresses
  readonly #number: number
  readonly #plugs = new Map<string, Plug>()
  #bridge = 0
  #named = Promise.resolve()
  #removal: Promise<void> | undefined

  constructor(run: Run, { name, internal, labels, subnet, chosen }: {
    readonly name: string | undefined; readonly internal: boolean; readonly labels: Readonly<Record<string, string>>; readonly subnet: Subnet; readonly chosen: Chosen | undefined
  }) {
    this.run = run
    this.name = name ?? `mayfly-${this.id.slice(0, 12)}`
    this.internal = internal
    this.labels = labels
    this.block = subnet
    this.#chosen = chosen
    this.#addresses = chosen === undefined ? new Addresses(subnet.base, subnet.prefix, 2) : addressesOf(chosen)
    this.#number = run.nextNetwork++
  }

  get subnet(): string {
    return formatSubnet(this.block)
  }

  get ipRange(): string | undefined {
    return this.#chosen === undefined || this.#chosen.range === this.block ? undefined : formatSubnet(this.#chosen.range)
  }

  get gateway(): string {
    return formatAddress(this.#gateway)
  }

  get containers(): readonly NetworkMember[] {
    return [...this.#plugs.values()].map(({ id, name, address, aliases }) => ({ id, name, ip: formatAddress(address), aliases }))
  }

  get removed(): boolean {
    return this.#removal !== undefined || this.run.connection.lost
  }

  async open(): Promise<void> {
    const fields = new Writer().u32(this.#number).u32(this.#gateway).u8(this.block.prefix).u32((this.internal ? INTERNAL : 0) | (this.#chosen === undefined ? 0 : FOREIGN))
    const made = this.run.connection.request(METHOD.networkCreate, fields.take())
    this.#named = this.#tell()
    const [reply] = await Promise.all([made, this.#named])
    this.#bridge = new Reader(reply).u32()
  }

  async connect(container: Pick<Container, 'id' | 'name'>, { aliases = [], ip }: ConnectOptions = {}): Promise<void> {
    const member = this.#member(container)
    if (this.#plugs.has(member.id)) {
      throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${member.name} is connected to the network ${this.name} already`)
    }
    const plug = this.plug(member, freeNumber(member), { aliases: checkAliases(aliases), ip })
    member.networks.push(this)
    const fields = new Writer().str(member.id).u8(plug.number).u32(this.#number).u32(plug.address).u32(plug.number === 0 ? 1 : 0)
    try {
      await this.run.connection.request(METHOD.networkConnect, fields.take())
    } catch (error) {
      this.unplug(member)
      throw error
    }
    await this.announce()
  }

  async disconnect(container: Pick<Container, 'id' | 'name'>): Promise<void> {
    const member = this.#member(container)
    const plug = this.#plugs.get(member.id)
    if (plug === undefined) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${member.name} is not connected to the network ${this.name}`)
    await this.run.connection.request(METHOD.networkDisconnect, new Writer().str(member.id).u8(plug.number).take())
    this.unplug(member)
    await Promise.all([this.announce(), refreshHosts(member)])
  }

  async reach(server: Listening): Promise<Reached> {
    return reachFrom(this.run, server, { address: this.block.base, prefix: this.block.prefix })
  }

  async partition(one: Side, other: Side, { direction = 'both' }: PartitionOptions = {}): Promise<Fault> {
    const directions = directionsOf(direction)
    const [left, right] = [one, other].map((side) => ('id' in side ? [side] : side).map((container) => this.#plugged(container)))
    const undo: (() => Promise<void>)[] = []
    const clear = async (): Promise<void> => {
      await Promise.all(undo.splice(0).map((each) => each()))
    }
    const pairs = (left ?? []).flatMap((a) => (right ?? []).filter((b) => b !== a).map((b) => [a, b] as const))
    const outcomes = await Promise.allSettled(pairs.map(async ([a, b]) => void undo.push(await separate(this.run, a.id, b.address, directions))))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined) {
      await clear()
      throw failed.reason
    }
    return { description: `partition of ${this.name}${direction === 'both' ? '' : `, ${direction}`}`, clear, [Symbol.asyncDispose]: clear }
  }

  async remove(): Promise<void> {
    if (this.#plugs.size > 0 && !this.removed) {
      const names = [...this.#plugs.values()].map(({ name }) => name).join(', ')
      throw new MayflyError('ERR_MAYFLY_NETWORK_IN_USE', `The network ${this.name} has containers: ${names}`, {
        hint: 'Stop or disconnect them first.', details: { containers: [...this.#plugs.keys()] },
      })
    }
    return this[Symbol.asyncDispose]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#removal ??= this.#remove()
    return this.#removal
  }

  /** Gives the container an address and names here. To be followed by its interface, or by `unplug`. */
  plug(member: Pick<Member, 'id' | 'name' | 'hostname'>, number: number, { aliases = [], ip }: ConnectOptions, dns?: readonly string[]): Plug {
    const names = [member.name, ...aliases, member.hostname, member.id.slice(0, 12)]
    const plug: Plug = { id: member.id, name: member.name, aliases, number, names, dns, address: this.#addressFor(ip) }
    this.#plugs.set(member.id, plug)
    this.#renamed()
    this.run.events.tellNetwork('connect', this, { container: member.id })
    return plug
  }

  unplug(member: Pick<Member, 'id'> & Partial<Pick<Member, 'networks'>>): void {
    const plug = this.#plugs.get(member.id)
    this.#plugs.delete(member.id)
    if (plug !== undefined) {
      this.#addresses.free(plug.address)
      this.#renamed()
      this.run.events.tellNetwork('disconnect', this, { container: member.id })
    }
    const at = member.networks?.indexOf(this) ?? -1
    if (at >= 0) member.networks?.splice(at, 1)
  }

  /** Its container has another name. */
  rename(id: string, name: string): void {
    const plug = this.#plugs.get(id)
    if (plug === undefined) return
    this.#plugs.set(id, { ...plug, name, names: plug.names.map((one) => (one === plug.name ? name : one)) })
    this.#renamed()
  }

  /** How the sandbox makes the interface; `from` is the address of the one that is there already. */
  link(plug: Plug, from: Link['from']): Link {
    // An internal network leads to host and hub, whose addresses begin the run's, so that it can answer them.
    const beyond = this.internal ? { address: this.run.hello.subnet, prefix: 30 } : { address: 0, prefix: 0 }
    return { number: plug.number, bridge: this.#bridge, address: plug.address, prefix: this.block.prefix, gateway: plug.number === 0 ? this.#gateway : 0, beyond, from }
  }

  /** The interface of one that is connected, as the sandbox makes it anew. */
  linkOf(id: string, from: Link['from']): Link[] {
    const plug = this.#plugs.get(id)
    return plug === undefined ? [] : [this.link(plug, plug.number === 0 ? from : undefined)]
  }

  /** Of the container's interface here. */
  numberOf(id: string): number {
    return this.#plugs.get(id)?.number ?? -1
  }

  addressOf(id: string): number | undefined {
    return this.#plugs.get(id)?.address
  }

  /** Who has this name or address here; of several with one name, the first. */
  find(host: string): Pick<Plug, 'id' | 'address'> | undefined {
    return [...this.#plugs.values()].find(({ address, names }) => formatAddress(address) === host || names.some((name) => name.toLowerCase() === host))
  }

  /** The others, as the hosts file of one of them has them. */
  neighbours(id: string): Neighbour[] {
    const own = this.#plugs.get(id)?.address ?? 0
    return hostsEntries([...this.#plugs.values()], own).map(({ address, names }) => ({ ip: formatAddress(address), names }))
  }

  /** Tells everybody on it who there is. */
  async announce(): Promise<void> {
    const members = [...this.#plugs.keys()].flatMap((id) => this.run.members.get(id) ?? [])
    await Promise.all([this.#named, ...members.map(refreshHosts)])
  }

  /** Gives back what it took from the run. */
  forget(): void {
    this.run.networks.delete(this)
    if (this.#chosen === undefined) this.run.subnets?.free(this.block)
  }

  get #gateway(): number {
    return this.#chosen?.gateway ?? this.block.base + 1
  }

  #addressFor(ip: string | undefined): number {
    if (ip === undefined) return this.#addresses.take()
    if (this.#chosen !== undefined) return this.#addresses.claim(chosenAddress(ip, this.#chosen))
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `The network ${this.name} gives its addresses out: they are chosen only where its subnet was`, {
      hint: 'Make it with one: mayfly network create --subnet 172.28.0.0/16 NAME, or network({ subnet }).',
    })
  }

  /** Sent at once: whatever is asked of the supervisor from now on comes after it. */
  #renamed(): void {
    if (this.removed) return
    this.#named = this.#tell()
    this.#named.catch(() => undefined)
  }

  #tell(): Promise<void> {
    return announceNames(this.run, this.#number, [...this.#plugs.values()], this.internal)
  }

  #plugged({ id, name }: Pick<Container, 'id' | 'name'>): Plug {
    const plug = this.#plugs.get(id)
    if (plug === undefined) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${name} is not connected to the network ${this.name}`)
    return plug
  }

  #member({ id, name }: Pick<Container, 'id' | 'name'>): Member {
    if (this.removed) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `The network ${this.name} was removed`)
    const member = this.run.members.get(id)
    if (member === undefined) throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', `The run of the network ${this.name} has no container ${name}`)
    if (!member.owned) {
      throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${name} has no network namespace of its own to connect to a network`)
    }
    return member
  }

  async #remove(): Promise<void> {
    const members = [...this.#plugs.keys()].flatMap((id) => this.run.members.get(id) ?? [])
    try {
      if (!this.run.connection.lost) await this.run.connection.request(METHOD.networkDelete, new Writer().u32(this.#number).take())
    } finally {
      for (const member of members) this.unplug(member)
      this.forget()
      this.run.events.tellNetwork('destroy', this)
    }
    await Promise.all(members.map(refreshHosts))
  }
}

function freeNumber({ id, networks, onRun }: Member): number {
  const taken = new Set(networks.map((one) => one.numberOf(id)))
  // eth0 is the run's own network, for who was started on no other.
  let number = onRun ? 1 : 0
  while (taken.has(number)) number += 1
  return number
}
