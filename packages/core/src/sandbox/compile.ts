import { MayflyError } from '../errors.js'
import type { IdMap } from '../idmap.js'
import type { ImageConfig } from '../images/index.js'
import { parseSize } from '../units.js'
import { capabilitySets } from './capabilities.js'
import { commandLine, environment } from './command.js'
import { deviceProgram, deviceRules } from './devices.js'
import { absolute } from './invalid.js'
import type { Features } from './limits.js'
import { addMounts } from './mounts.js'
import { namespacesOf, sharedWith } from './namespaces.js'
import { MOUNT, NAMESPACES, Operations, type Link, type Rootfs } from './operations.js'
import type { ResolvedOptions } from './options.js'
import { rlimits } from './rlimits.js'
import { seccompProgram } from './seccomp/index.js'
import { sysctlPath } from './sysctls.js'
import type { Identity } from './user.js'

/** Everything a container's operation list depends on. */
export interface SandboxInput {
  readonly config: ImageConfig
  readonly options: ResolvedOptions
  readonly rootfs: Rootfs
  readonly identity: Identity
  readonly hostname: string
  readonly features: Features
  readonly resolvConf: string
  /** Its interfaces on private networks. */
  readonly links?: readonly Link[] | undefined
  /** The content of /etc/hosts. */
  readonly hosts: string
  /** The ids of an ordinary user's containers; absent for root. */
  readonly map?: IdMap | undefined
}

const MASKED = [
  '/proc/acpi', '/proc/asound', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats',
  '/proc/sched_debug', '/proc/scsi', '/proc/timer_list', '/proc/timer_stats', '/sys/firmware',
  '/sys/devices/virtual/powercap',
]
const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']
const DEVICES: readonly (readonly [string, number, number])[] = [
  ['null', 1, 3], ['zero', 1, 5], ['full', 1, 7], ['random', 1, 8], ['urandom', 1, 9], ['tty', 5, 0],
]
const STAGED = ['/proc', '/sys', '/dev']
const DEFAULT_SHM = 64 * 2 ** 20
const NO_ESCAPE = MOUNT.nosuid | MOUNT.nodev | MOUNT.noexec

/** What of a container can be built before its image and most of its options are known. */
export type Foundation = Pick<SandboxInput, 'map' | 'features'> & {
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

/** The rest of the list, which completes the container and becomes its command. Throws ERR_MAYFLY_OPTION_INVALID. */
export function compileSandbox(input: SandboxInput): Buffer {
  const { config, options, identity, hostname } = input
  const list = new Operations()
  for (const link of input.links ?? []) list.link(link)
  if (options.uts === undefined || options.uts === 'private') list.hostname(hostname)
  if (options.domainname !== undefined) list.domainname(options.domainname)
  list.rootfs(input.rootfs)
  for (const path of STAGED) list.mountMove(path)
  if (hasTerminal(options.tty)) list.terminal(sizeOf(options.tty), true)
  identityFiles(list, input)
  addMounts(list, options)
  const workdir = absolute('workdir', options.workdir ?? (config.WorkingDir === '' ? '/' : config.WorkingDir))
  if (workdir !== '/') list.mkdir(workdir, 0o755)
  // Written to a procfs mounted for the purpose, which a user may no longer mount once only the masked one is in sight.
  for (const [name, value] of Object.entries(options.sysctls ?? {})) list.sysctl(sysctlPath(name, value), value)
  // Where nothing else limits devices, one that root makes in the image must not open.
  const nodev = options.privileged !== true && input.features.get('devices') === 'none'
  list.pivot({ readonly: options.readonly === true, nodev })
  for (const { resource, soft, hard } of rlimits(options.ulimits ?? {})) list.rlimit(resource, soft, hard)
  if (options.oomScoreAdj !== undefined) list.oomscore(options.oomScoreAdj)
  list.umask(0o022).chdir(workdir)
  becomeUser(list, identity, options, input.map)
  if (options.init === true) list.init()
  const env = environment(config, options.env ?? {}, hostname, identity.home)
  return list.env(terminalEnvironment(options.tty, env)).argv(commandLine(config, options)).exec()
}

type Terminal = ResolvedOptions['tty']

function hasTerminal(tty: Terminal): boolean {
  return tty !== undefined && tty !== false
}

function sizeOf(tty: Terminal): { readonly columns: number; readonly rows: number } {
  return typeof tty === 'object' ? tty : { columns: 0, rows: 0 }
}

/** As Docker has it: programs that draw are told what they draw on. */
function terminalEnvironment(tty: Terminal, env: readonly string[]): readonly string[] {
  return hasTerminal(tty) && !env.some((entry) => entry.startsWith('TERM=')) ? [...env, 'TERM=xterm'] : env
}

/** What of a container's options shapes the commands in it. */
export type Rights = Pick<ResolvedOptions, 'capAdd' | 'capDrop' | 'privileged' | 'seccomp' | 'timeOffsets'>

/** The operation list of a command in a running container. */
export function compileExec(input: {
  readonly container: string
  readonly argv: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly identity: Identity
  readonly options: Rights
  readonly tty?: Terminal
  readonly map?: IdMap | undefined
}): Buffer {
  const list = new Operations()
  if (input.options.timeOffsets !== undefined) list.enter(NAMESPACES.time, input.container)
  list.join()
  if (hasTerminal(input.tty)) list.terminal(sizeOf(input.tty), false)
  list.umask(0o022).chdir(absolute('cwd', input.cwd))
  becomeUser(list, input.identity, input.options, input.map)
  return list.env(terminalEnvironment(input.tty, input.env)).argv(input.argv).exec()
}

function becomeUser(list: Operations, identity: Identity, options: Rights, map: IdMap | undefined): void {
  const single = map?.lacking !== undefined
  if (single && (identity.uid !== 0 || identity.gid !== 0)) {
    throw new MayflyError('ERR_MAYFLY_UNPRIVILEGED', `There is no user ${identity.uid}:${identity.gid}: this user's containers have root alone`, {
      hint: map.lacking,
    })
  }
  const sets = capabilitySets(options)
  // Installing a filter needs CAP_SYS_ADMIN or no_new_privs, and the latter would disarm the image's set-uid programs.
  if (options.privileged !== true && options.seccomp !== 'unconfined') list.seccomp(seccompProgram(process.arch, sets.bounding, options.seccomp))
  list.capabilities(sets)
  if (!single) list.groups(identity.groups)
  list.user(identity.uid, identity.gid)
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
  list.mountMqueue('/dev/mqueue')
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

/** The list of an exec that does nothing but replace a file of a running container. */
export function compileWrite(target: string, mode: number, content: string): Buffer {
  return new Operations().join().file(target, mode, content).leave()
}

function identityFiles(list: Operations, { hostname, hosts, resolvConf }: SandboxInput): void {
  list.mkdir('/etc', 0o755).file('/etc/hosts', 0o644, hosts)
  list.file('/etc/hostname', 0o644, `${hostname}\n`).file('/etc/resolv.conf', 0o644, resolvConf)
}
