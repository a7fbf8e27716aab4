import { existsSync } from 'node:fs'

import type { IdMap } from '../idmap.js'
import { parseSize } from '../units.js'
import { deviceProgram, deviceRules } from './devices.js'
import type { Features } from './limits.js'
import { namespacesOf, sharedWith } from './namespaces.js'
import { MOUNT, Operations } from './operations.js'
import type { ResolvedOptions } from './options.js'

const MASKED = [
  '/proc/acpi', '/proc/asound', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats',
  '/proc/sched_debug', '/proc/scsi', '/proc/timer_list', '/proc/timer_stats', '/sys/firmware',
  '/sys/devices/virtual/powercap',
]
const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']
const DEVICES: readonly (readonly [string, number, number])[] = [
  ['null', 1, 3], ['zero', 1, 5], ['full', 1, 7], ['random', 1, 8], ['urandom', 1, 9], ['tty', 5, 0],
]
const DEFAULT_SHM = 64 * 2 ** 20
const NO_ESCAPE = MOUNT.nosuid | MOUNT.nodev | MOUNT.noexec

/** What of a container can be built before its image and most of its options are known. */
export type Foundation = {
  /** The ids of an ordinary user's containers; absent for root. */
  readonly map?: IdMap | undefined
  readonly features: Features
  /** Absent: no network but the loopback. */
  readonly network?: { readonly address: number; readonly prefix: number; readonly gateway: number } | undefined
  readonly options: Pick<ResolvedOptions, (typeof FOUNDATION_OPTIONS)[number]>
}

/** The options that shape the first part of the list. */
export const FOUNDATION_OPTIONS = ['privileged', 'shmSize', 'pid', 'ipc', 'uts', 'network', 'timeOffsets', 'devices'] as const

/**
 * The first part of a container's operation list: groups, network, and the kernel's file systems on a stage of their own.
 * A slot has carried it out already; it fits every container whose first part is byte for byte the same.
 * Throws ERR_MAYFLY_OPTION_INVALID.
 */
export function compileFoundation({ network, map, options, features }: Foundation): Operations {
  const privileged = options.privileged === true
  const list = new Operations().cgroup(true)
  if (features.get('devices') === 'bpf' && !privileged) list.devices(deviceProgram(deviceRules(options.devices ?? [])))
  for (const { namespace, container } of namespacesOf(options).enter) list.enter(namespace, container)
  if (options.timeOffsets !== undefined) list.time(options.timeOffsets.monotonic ?? 0, options.timeOffsets.boottime ?? 0)
  const own = options.network === undefined || options.network === 'none'
  if (own) list.loopback()
  if (network !== undefined && options.network === undefined) list.veth(network.address, network.prefix, network.gateway)
  list.stage().mountProc('/proc').mountSysfs('/sys', !privileged).mountCgroup('/sys/fs/cgroup', !privileged)
  devices(list, options, map !== undefined)
  if (!privileged) {
    for (const path of MASKED) list.mask(path)
    for (const path of READ_ONLY) list.readonly(path)
  }
  return own ? list.sysctl('net/ipv4/ip_unprivileged_port_start', '0').sysctl('net/ipv4/ping_group_range', pingGroups(map)) : list
}

/** `borrowed`: an ordinary user makes no device nodes, and binds the host's. */
function devices(list: Operations, options: Foundation['options'], borrowed: boolean): void {
  list.mountTmpfs('/dev', 0o755, 65_536 * 1024, MOUNT.nosuid)
  const chosen = new Map((options.devices ?? []).map((device) => [device.path, device]))
  for (const [name, major, minor] of DEVICES) {
    if (chosen.has(`/dev/${name}`)) continue
    if (borrowed) list.mountBind(`/dev/${name}`, `/dev/${name}`, MOUNT.nosuid | MOUNT.noexec)
    else list.device(`/dev/${name}`, 0o666, major, minor)
  }
  for (const { source, path, mode, major, minor, type } of chosen.values()) {
    const directory = path.slice(0, path.lastIndexOf('/'))
    if (directory !== '/dev') list.mkdir(directory, 0o755)
    if (borrowed) list.mountBind(source, path, MOUNT.nosuid | MOUNT.noexec)
    else list.device(path, mode, major, minor, type)
  }
  list.mountDevpts('/dev/pts').symlink('/dev/ptmx', 'pts/ptmx')
  list.symlink('/dev/fd', '/proc/self/fd').symlink('/dev/stdin', '/proc/self/fd/0')
  list.symlink('/dev/stdout', '/proc/self/fd/1').symlink('/dev/stderr', '/proc/self/fd/2').symlink('/dev/core', '/proc/kcore')
  // The host's queues are root's to mount: who is not finds them where the host has them.
  if (!borrowed || options.ipc !== 'host') list.mountMqueue('/dev/mqueue')
  else if (existsSync('/dev/mqueue')) list.mountBind('/dev/mqueue', '/dev/mqueue', NO_ESCAPE)
  const other = sharedWith(options.ipc)
  if (other !== undefined) list.mountPeer(other, '/dev/shm', '/dev/shm')
  else if (options.ipc === 'host') list.mountBind('/dev/shm', '/dev/shm', NO_ESCAPE)
  else list.mountTmpfs('/dev/shm', 0o1777, options.shmSize === undefined ? DEFAULT_SHM : parseSize(options.shmSize), NO_ESCAPE)
}

/** Every group there is: the kernel refuses those that have no meaning in the namespace. */
function pingGroups(map: IdMap | undefined): string {
  if (map === undefined) return '0 2147483647'
  const count = map.gids.split(',').reduce((sum, extent) => sum + Number(extent.split(':')[2]), 0)
  return `0 ${Math.min(count - 1, 2147483647)}`
}
