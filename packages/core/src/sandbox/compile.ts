import type { SandboxOptions } from './options.js'
import { MayflyError } from '../errors.js'
import type { IdMap } from '../idmap.js'
import type { ImageConfig } from '../images/index.js'
import { parseSize } from '../units.js'
import { capabilitySets } from './capabilities.js'
import { commandLine, environment } from './command.js'
import { MOUNT, NAMESPACES, Operations, type Rootfs } from './operations.js'
import { rlimits } from './rlimits.js'
import { seccompProgram } from './seccomp/index.js'
import type { Identity } from './user.js'

/** Everything a container's operation list depends on. */
export interface SandboxInput {
  readonly config: ImageConfig
  readonly options: SandboxOptions
  readonly rootfs: Rootfs
  readonly identity: Identity
  readonly hostname: string
  /** Absent: no network but the loopback. */
  readonly network?: { readonly address: number; readonly prefix: number; readonly gateway: number; readonly ip: string } | undefined
  readonly resolvConf: string
  /** The ids of an ordinary user's containers; absent for root. */
  readonly map?: IdMap | undefined
}

export const CONTAINER_NAMESPACES =
  NAMESPACES.mount | NAMESPACES.uts | NAMESPACES.ipc | NAMESPACES.pid | NAMESPACES.net

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
export type Foundation = Pick<SandboxInput, 'network' | 'map'> & { readonly options: Pick<SandboxOptions, 'privileged' | 'shmSize'> }

/**
 * The first part of a container's operation list: groups, network, and the kernel's file systems on a stage of their own.
 * A slot has carried it out already; it fits every container whose first part is byte for byte the same.
 * Throws ERR_MAYFLY_OPTION_INVALID.
 */
export function compileFoundation({ network, map, options }: Foundation): Operations {
  const privileged = options.privileged === true
  const list = new Operations().cgroup(true).loopback()
  if (network !== undefined) list.veth(network.address, network.prefix, network.gateway)
  list.stage().mountProc('/proc').mountSysfs('/sys', !privileged).mountCgroup('/sys/fs/cgroup')
  devices(list, options, map !== undefined)
  if (!privileged) {
    for (const path of MASKED) list.mask(path)
    for (const path of READ_ONLY) list.readonly(path)
  }
  return list.sysctl('net/ipv4/ip_unprivileged_port_start', '0').sysctl('net/ipv4/ping_group_range', pingGroups(map))
}

/** The rest of the list, which completes the container and becomes its command. Throws ERR_MAYFLY_OPTION_INVALID. */
export function compileSandbox(input: SandboxInput): Buffer {
  const { config, options, identity, hostname } = input
  const list = new Operations().hostname(hostname).rootfs(input.rootfs)
  for (const path of STAGED) list.mountMove(path)
  identityFiles(list, input)
  mounts(list, options)
  const workdir = absolute('workdir', options.workdir ?? (config.WorkingDir === '' ? '/' : config.WorkingDir))
  if (workdir !== '/') list.mkdir(workdir, 0o755)
  // Written to a procfs mounted for the purpose, which a user may no longer mount once only the masked one is in sight.
  for (const [name, value] of Object.entries(options.sysctls ?? {})) list.sysctl(sysctlPath(name), value)
  list.pivot(options.readonly === true)
  for (const { resource, soft, hard } of rlimits(options.ulimits ?? {})) list.rlimit(resource, soft, hard)
  list.umask(0o022).chdir(workdir)
  becomeUser(list, identity, options, input.map)
  return list.env(environment(config, options.env ?? {}, hostname, identity.home)).argv(commandLine(config, options)).exec()
}

/** The operation list of a command in a running container. */
export function compileExec(input: {
  readonly argv: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly identity: Identity
  readonly options: Rights
  readonly map?: IdMap | undefined
}): Buffer {
  const list = new Operations().join().umask(0o022).chdir(absolute('cwd', input.cwd))
  becomeUser(list, input.identity, input.options, input.map)
  return list.env(input.env).argv(input.argv).exec()
}

type Rights = Pick<SandboxOptions, 'capAdd' | 'capDrop' | 'privileged'>

function becomeUser(list: Operations, identity: Identity, options: Rights, map: IdMap | undefined): void {
  const single = map?.lacking !== undefined
  if (single && (identity.uid !== 0 || identity.gid !== 0)) {
    throw new MayflyError('ERR_MAYFLY_UNPRIVILEGED', `There is no user ${identity.uid}:${identity.gid}: this user's containers have root alone`, {
      hint: map.lacking,
    })
  }
  const sets = capabilitySets(options)
  // Installing a filter needs CAP_SYS_ADMIN or no_new_privs, and the latter would disarm the image's set-uid programs.
  if (options.privileged !== true) list.seccomp(seccompProgram(process.arch, sets.bounding))
  list.capabilities(sets)
  if (!single) list.groups(identity.groups)
  list.user(identity.uid, identity.gid)
}

function devices(list: Operations, options: Pick<SandboxOptions, 'shmSize'>, borrowed: boolean): void {
  list.mountTmpfs('/dev', 0o755, 65_536 * 1024, MOUNT.nosuid)
  for (const [name, major, minor] of DEVICES) {
    if (borrowed) list.mountBind(`/dev/${name}`, `/dev/${name}`, MOUNT.nosuid | MOUNT.noexec)
    else list.device(`/dev/${name}`, 0o666, major, minor)
  }
  list.mountDevpts('/dev/pts').symlink('/dev/ptmx', 'pts/ptmx')
  list.symlink('/dev/fd', '/proc/self/fd').symlink('/dev/stdin', '/proc/self/fd/0')
  list.symlink('/dev/stdout', '/proc/self/fd/1').symlink('/dev/stderr', '/proc/self/fd/2').symlink('/dev/core', '/proc/kcore')
  const shm = options.shmSize === undefined ? DEFAULT_SHM : parseSize(options.shmSize)
  list.mountMqueue('/dev/mqueue').mountTmpfs('/dev/shm', 0o1777, shm, NO_ESCAPE)
}

/** Every group there is: the kernel refuses those that have no meaning in the namespace. */
function pingGroups(map: IdMap | undefined): string {
  if (map === undefined) return '0 2147483647'
  const count = map.gids.split(',').reduce((sum, extent) => sum + Number(extent.split(':')[2]), 0)
  return `0 ${Math.min(count - 1, 2147483647)}`
}

function identityFiles(list: Operations, { hostname, network, options, resolvConf }: SandboxInput): void {
  const extra = Object.entries(options.extraHosts ?? {}).map(([name, address]) => `${address}\t${name}\n`)
  const own = network === undefined ? [] : [`${network.ip}\t${hostname}\n`]
  const hosts = ['127.0.0.1\tlocalhost\n', '::1\tlocalhost ip6-localhost ip6-loopback\n', ...own, ...extra]
  list.mkdir('/etc', 0o755).file('/etc/hosts', 0o644, hosts.join(''))
  list.file('/etc/hostname', 0o644, `${hostname}\n`).file('/etc/resolv.conf', 0o644, resolvConf)
}

function mounts(list: Operations, options: SandboxOptions): void {
  for (const text of options.tmpfs ?? []) {
    const [target = '', settings = ''] = text.split(/:(.*)/s)
    const size = /(?:^|,)size=([^,]+)/.exec(settings)?.[1]
    const mode = /(?:^|,)mode=([0-7]+)/.exec(settings)?.[1]
    const flags = MOUNT.nosuid | MOUNT.nodev | (/(?:^|,)exec(?:,|$)/.test(settings) ? 0 : MOUNT.noexec)
    const path = mountTarget(target)
    list.mountTmpfs(path, mode === undefined ? 0o1777 : Number.parseInt(mode, 8), size === undefined ? 0 : parseSize(size), flags)
  }
  for (const { source, target, readonly } of options.mounts ?? []) {
    list.mountBind(absolute('mounts.source', source), mountTarget(target), readonly === true ? MOUNT.readonly : 0)
  }
}

function mountTarget(target: string): string {
  const path = absolute('mount target', target)
  if (path === '/' || /^\/(?:proc|sys)(?:\/|$)/.test(path)) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Nothing can be mounted on ${path}`)
  }
  return path
}

function absolute(what: string, path: string): string {
  if (!path.startsWith('/') || path.includes('\0')) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid ${what} ${JSON.stringify(path)}: it is not an absolute path`)
  }
  const names: string[] = []
  for (const name of path.split('/')) {
    if (name === '..') names.pop()
    else if (name !== '' && name !== '.') names.push(name)
  }
  return `/${names.join('/')}`
}

/** Only what belongs to the container's own namespaces, as Docker allows. */
function sysctlPath(name: string): string {
  const path = name.replaceAll('.', '/')
  if (/^(?:net\/|fs\/mqueue\/|kernel\/(?:shm|msg|sem)\w*$)/.test(path) && !path.includes('//') && !path.includes('..')) return path
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `The sysctl ${JSON.stringify(name)} does not belong to a container`)
}
