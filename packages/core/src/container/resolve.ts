import { readFile } from 'node:fs/promises'

import { isMayflyError, MayflyError } from '../errors.js'
import { formatAddress } from '../network/addresses.js'
import { checkAliases } from '../network/names.js'
import { parsePorts } from '../network/ports.js'
import { checkResolver } from '../network/resolv.js'
import { contradiction } from '../sandbox/invalid.js'
import { checkOptions, resolveDevices, sharedWith, type ResolvedOptions } from '../sandbox/index.js'
import { PrivateNetwork } from './network.js'
import type { Member, Run } from './supervision.js'
import type { Network, RunOptions } from './types.js'

/** A start's options, and the container whose network it shares. */
export interface Resolved {
  /** Without its mounts, whose sources may be the container's own. */
  readonly options: Omit<RunOptions, 'devices' | 'seccomp' | 'network' | 'mounts'> & Omit<ResolvedOptions, 'mounts'>
  readonly networkOf: Member | undefined
  /** Private networks, the first its main one. */
  readonly networks: readonly PrivateNetwork[]
}

const SHAREABLE = ['pid', 'ipc', 'uts', 'network'] as const

/**
 * Checks the options, and looks up what they name outside of the image: other containers, devices, a profile.
 * Throws ERR_MAYFLY_OPTION_INVALID, ERR_MAYFLY_CONTAINER_NOT_FOUND.
 */
export async function resolveOptions(run: Run, { devices, seccomp, network: where, mounts: _mounts, ...given }: RunOptions): Promise<Resolved> {
  const networks = networksOf(run, where, given)
  const rest = { ...given, network: typeof where === 'string' ? where : undefined, extraHosts: withGateway(run, given.extraHosts) }
  checkOptions({ ...rest, devices, seccomp })
  checkResolver(rest)
  checkTogether(rest)
  checkDirect(rest, networks)
  if (rest.network !== undefined) checkPorts(rest, rest.network)
  const shared: Partial<Record<(typeof SHAREABLE)[number], `container:${string}`>> = {}
  for (const kind of SHAREABLE) {
    const other = sharedWith(rest[kind])
    if (other !== undefined) shared[kind] = `container:${memberOf(run, kind, other).id}`
  }
  const nodes = resolveDevices({ devices, privileged: rest.privileged })
  const profile = await profileOf(seccomp)
  const network = sharedWith(shared.network)
  return {
    options: {
      ...rest, ...shared,
      ...(nodes.length === 0 ? {} : { devices: nodes }),
      ...(profile === undefined ? {} : { seccomp: profile }),
    },
    networkOf: network === undefined ? undefined : memberOf(run, 'network', network),
    networks,
  }
}

/** What two options cannot both mean. */
function checkTogether({ network, dns, readonly, storage }: RunOptions): void {
  if (network === 'none' && dns !== undefined) throw contradiction('network "none"', 'dns', 'there is nobody to ask')
  if (readonly === true && storage !== undefined) throw contradiction('readonly', 'storage', 'nothing is written that could have a size')
}

/** Who holds a socket of the machine's could change its network with the rights for it. */
function checkDirect({ loopback, privileged, capAdd = [], ports }: RunOptions, networks: readonly PrivateNetwork[]): void {
  if (loopback !== 'direct') return
  const mighty = ['ALL', 'NET_ADMIN', 'CAP_NET_ADMIN'].find((name) => capAdd.some((one) => one.toUpperCase() === name))
  if (networks.length > 0) throw contradiction('loopback "direct"', 'network', 'the others on it would not reach the service')
  if (privileged === true || mighty !== undefined) throw contradiction('loopback "direct"', mighty === undefined ? 'privileged' : 'capAdd', 'its sockets are the machine\'s')
  const inner = parsePorts(ports).filter(({ protocol }) => protocol === 'tcp').map(({ container }) => container)
  const twice = inner.find((port, at) => inner.indexOf(port) !== at)
  if (twice !== undefined) throw contradiction('loopback "direct"', 'ports', `a service listens on one number of the machine's, and ${twice} has two`)
}

function networksOf(run: Run, where: RunOptions['network'], { aliases = [], ip }: Pick<RunOptions, 'aliases' | 'ip'>): readonly PrivateNetwork[] {
  const wanted = where === undefined || typeof where === 'string' ? [] : isList(where) ? where : [where]
  checkAliases(aliases)
  if (wanted.length === 0 && aliases.length > 0) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'aliases without a private network: there is nobody to know the names', {
      hint: 'Make one: run(image, { network: await network(), aliases: [\'db\'] }).',
    })
  }
  if (wanted.length === 0 && ip !== undefined) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'ip without a private network: elsewhere addresses are given out', {
      hint: 'Make one: run(image, { network: await network({ subnet: \'172.28.0.0/16\' }), ip: \'172.28.0.5\' }).',
    })
  }
  if (new Set(wanted).size !== wanted.length) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'network names the same network twice')
  return wanted.map((one) => {
    if (one instanceof PrivateNetwork && one.run === run && !one.removed) return one
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'network is none of this process\'s run, or was removed', {
      hint: 'Give what network() answered in this process.',
    })
  })
}

function isList(where: Network | readonly Network[]): where is readonly Network[] {
  return Array.isArray(where)
}

/** Docker's word for the machine itself. */
function withGateway({ hello }: Run, extraHosts: RunOptions['extraHosts']): RunOptions['extraHosts'] {
  if (extraHosts === undefined || hello.prefix === 0) return extraHosts
  return Object.fromEntries(Object.entries(extraHosts).map(([name, ip]) => [name, ip === 'host-gateway' ? formatAddress(hello.gateway) : ip]))
}

function memberOf({ members }: Pick<Run, 'members'>, option: string, which: string): Member {
  const found = members.get(which) ?? [...members.values()].find(({ name }) => name === which)
    ?? [...members.values()].find(({ id }) => which.length >= 12 && id.startsWith(which))
  if (found !== undefined) return found
  throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', `${option}: this process runs no container ${JSON.stringify(which)}`, {
    hint: 'Name a running container of the same run, by its id or its name.',
  })
}

function checkPorts({ ports = [], loopback, hostPorts = [] }: RunOptions, network: string): void {
  if (hostPorts.length > 0) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `network ${JSON.stringify(network)} and hostPorts contradict each other: there is no network of its own to reach them from`, {
      hint: network === 'host' ? 'On the host\'s network its ports are at 127.0.0.1.' : 'Leave one of them out.',
    })
  }
  const refused = network !== 'host' ? ports.length > 0 || loopback !== undefined && loopback !== false
    : parsePorts(ports).some(({ wanted, container, flexible }) => wanted !== undefined && !flexible && wanted.from !== container)
  if (!refused) return
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `network ${JSON.stringify(network)} and ports contradict each other: there is no network of its own to publish from`, {
    hint: network === 'none' || network === 'host' ? 'Leave network or ports out.' : 'Publish the ports of the container whose network it shares.',
  })
}

async function profileOf(seccomp: RunOptions['seccomp']): Promise<ResolvedOptions['seccomp']> {
  if (seccomp === undefined || seccomp === 'default') return undefined
  if (typeof seccomp === 'object') return seccomp
  if (seccomp === 'unconfined') return 'unconfined'
  try {
    const profile: unknown = JSON.parse(await readFile(seccomp, 'utf8'))
    if (typeof profile === 'object' && profile !== null && 'defaultAction' in profile) return profile as Exclude<ResolvedOptions['seccomp'], string>
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid seccomp ${JSON.stringify(seccomp)}: the file is no profile, it has no defaultAction`)
  } catch (error) {
    if (isMayflyError(error)) throw error
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid seccomp ${JSON.stringify(seccomp)}: the profile cannot be read`, {
      cause: error, hint: 'Give \'default\', \'unconfined\', or a profile in Docker\'s JSON form as a path or an object.',
    })
  }
}
