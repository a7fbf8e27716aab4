import { readFile } from 'node:fs/promises'

import { isMayflyError, MayflyError } from '../errors.js'
import { checkOptions, resolveDevices, sharedWith, type ResolvedOptions } from '../sandbox/index.js'
import type { Member, Run } from './supervision.js'
import type { RunOptions } from './types.js'

/** A start's options, and the container whose network it shares. */
export interface Resolved {
  readonly options: Omit<RunOptions, 'devices' | 'seccomp'> & ResolvedOptions
  readonly networkOf: Member | undefined
}

const SHAREABLE = ['pid', 'ipc', 'uts', 'network'] as const

/**
 * Checks the options, and looks up what they name outside of the image: other containers, devices, a profile.
 * Throws ERR_MAYFLY_OPTION_INVALID, ERR_MAYFLY_CONTAINER_NOT_FOUND.
 */
export async function resolveOptions(run: Pick<Run, 'members'>, { devices, seccomp, ...rest }: RunOptions): Promise<Resolved> {
  checkOptions({ ...rest, devices, seccomp })
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
  }
}

function memberOf({ members }: Pick<Run, 'members'>, option: string, which: string): Member {
  const found = members.get(which) ?? [...members.values()].find(({ name }) => name === which)
    ?? [...members.values()].find(({ id }) => which.length >= 12 && id.startsWith(which))
  if (found !== undefined) return found
  throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', `${option}: this process runs no container ${JSON.stringify(which)}`, {
    hint: 'Name a running container of the same run, by its id or its name.',
  })
}

function checkPorts({ ports = [], loopback }: RunOptions, network: string): void {
  const refused = network !== 'host' ? ports.length > 0 || loopback === true
    : ports.some((port) => typeof port !== 'number' && port.host !== undefined && port.host !== port.container)
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
