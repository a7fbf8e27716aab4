import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { MayflyError } from '../errors.js'
import type { Image } from '../images/index.js'
import { formatAddress } from '../network/addresses.js'
import { compileSetting, type Identity, type SandboxInput } from '../sandbox/index.js'
import type { Rootfs } from '../sandbox/operations.js'
import { hostsOf } from './attachment.js'
import type { Driver } from './drivers.js'
import { storageOf } from './storage.js'
import { kindKey, type Kind } from './kinds.js'
import { resolvConf } from './nameserver.js'
import type { Resolved } from './resolve.js'
import type { Run } from './supervision.js'
import type { RunOptions } from './types.js'

/** What a container's operations depend on, whoever's turn it is to carry them out. */
export interface Setting {
  readonly image: Image
  readonly driver: Driver
  readonly identity: Identity
  readonly options: SandboxInput['options'] & Pick<RunOptions, 'storage' | 'loopback'>
}

/** Where it is, and what depends on that. */
export interface Situation extends Pick<SandboxInput, 'hostname' | 'hosts' | 'resolvConf' | 'links'> {
  readonly id: string
  /** Its directory on disk, or empty. */
  readonly scratch: string
}

/** Whether what was made for one place fits another: their ids, and all that is written into them. */
export function isSame(one: Situation, other: Situation): boolean {
  return one.id === other.id && one.scratch === other.scratch && one.hostname === other.hostname && one.hosts === other.hosts &&
    one.resolvConf === other.resolvConf && one.links?.length === 0 && other.links?.length === 0
}

/** `rootfs`: absent where that is there already. */
export function sandboxInput(run: Run, { image, identity, options }: Omit<Setting, 'driver'>, { hostname, hosts, resolvConf, links }: Situation, rootfs: Rootfs = { driver: 'again' }): SandboxInput {
  return {
    hostname, hosts, resolvConf, links, options, identity, rootfs,
    config: image.config,
    features: run.hello.features,
    map: run.map,
    notify: options.loopback === 'direct',
  }
}

export function rootfsOf(run: Run, { image, driver, options }: Omit<Setting, 'identity'>, { id, scratch }: Situation): Promise<Rootfs> {
  return driver.rootfs(run, id, image.layers, scratch, storageOf(options) ?? 0)
}

/** The kind of a container, for slots of its kind; nothing when there are none. */
export function kindOf(run: Run, { image, driver, identity }: Omit<Setting, 'options'>, resolved: Resolved): Kind | undefined {
  const key = kindKey(image, driver, resolved)
  if (key === undefined) return undefined
  const { options } = resolved
  return {
    key,
    setting: async ({ id, address }) => {
      const hostname = options.hostname ?? id.slice(0, 12)
      const scratch = scratchDirectory(run, id, options, driver)
      if (scratch !== '') await mkdir(scratch, { mode: 0o700, recursive: true })
      const situation = {
        id, scratch, hostname, links: [],
        hosts: hostsOf(run, { address, hostname }, options.extraHosts),
        resolvConf: resolvConf(run, [], formatAddress(run.hello.gateway), options),
      }
      const rootfs = await rootfsOf(run, { image, driver, options }, situation)
      return { setting: compileSetting(sandboxInput(run, { image, identity, options }, situation, rootfs)), situation }
    },
  }
}

/** On disk when memory is limited, since pages of a tmpfs count against the limit, or when a tmpfs will not do. */
export function scratchDirectory(run: Run, id: string, options: Pick<RunOptions, 'scratch' | 'memory' | 'storage'>, driver: Driver): string {
  if (options.storage !== undefined) return inMemory(run, options, driver)
  const fit = run.hello.features.get('memory-xattrs') !== 'no'
  const where = options.scratch ?? (options.memory === undefined ? 'memory' : 'disk')
  return where === 'memory' && fit && driver.inMemory ? '' : join(run.dir, 'scratch', id)
}

/** Only what lies in memory can have a size of its own. */
function inMemory(run: Run, options: Pick<RunOptions, 'scratch'>, driver: Driver): string {
  if (options.scratch === 'disk') {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'storage and scratch: \'disk\' contradict each other: only changes in memory have a limit')
  }
  if (!driver.inMemory || run.hello.features.get('memory-xattrs') === 'no') {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', 'This machine cannot keep a container\'s changes in memory, where they could have a limit', {
      hint: 'It takes the overlay driver, and Linux 6.6 without root.',
    })
  }
  return ''
}
