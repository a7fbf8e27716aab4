import { MayflyError } from '../errors.js'
import type { IdMap } from '../idmap.js'
import type { ImageConfig } from '../images/index.js'
import { capabilitySets } from './capabilities.js'
import { commandLine, environment } from './command.js'
import { absolute } from './invalid.js'
import type { Features } from './limits.js'
import { addMounts, isTarget } from './mounts.js'
import { NAMESPACES, Operations, type Link, type Rootfs } from './operations.js'
import type { ResolvedOptions } from './options.js'
import { rlimits } from './rlimits.js'
import { bindNotification, seccompProgram } from './seccomp/index.js'
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
  /** Whether the supervisor is told of its calls of bind(). */
  readonly notify?: boolean | undefined
}

const STAGED = ['/proc', '/sys', '/dev']
/** The rest of the list, which completes the container and becomes its command. Throws ERR_MAYFLY_OPTION_INVALID. */
export function compileSandbox(input: SandboxInput): Buffer {
  return Buffer.concat([compileSetting(input), compileProgram(input)])
}

/** All of it but the program: containers of one image differ here in little more than their names. */
export function compileSetting(input: SandboxInput): Buffer {
  const { config, options, identity, hostname } = input
  const list = new Operations()
  for (const link of input.links ?? []) list.link(link)
  if (options.uts === undefined || options.uts === 'private') list.hostname(hostname)
  if (options.domainname !== undefined) list.domainname(options.domainname)
  list.rootfs(input.rootfs)
  for (const path of STAGED) list.mountMove(path)
  if (hasTerminal(options.tty)) list.terminal(sizeOf(options.tty), true)
  identityFiles(list, input)
  // As Docker has it, what the image calls a volume is a directory, whether the image has made it or not.
  for (const path of config.Volumes) if (isTarget(path)) list.mkdir(absolute('VOLUME', path), 0o755)
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
  // Before capabilities are given up, as every filter.
  if (input.notify === true) list.notify(bindNotification(process.arch))
  becomeUser(list, identity, options, input.map)
  return list.part()
}

/** What runs in it. */
export function compileProgram({ config, options, identity, hostname }: Pick<SandboxInput, 'config' | 'options' | 'identity' | 'hostname'>): Buffer {
  const list = new Operations()
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
export type Rights = Pick<ResolvedOptions, 'capAdd' | 'capDrop' | 'privileged' | 'seccomp' | 'timeOffsets' | 'noNewPrivileges' | 'ulimits'>

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
  for (const { resource, soft, hard } of rlimits(input.options.ulimits ?? {})) list.rlimit(resource, soft, hard)
  list.umask(0o022).chdir(absolute('cwd', input.cwd))
  becomeUser(list, input.identity, input.options, input.map)
  return list.env(terminalEnvironment(input.tty, input.env)).argv(input.argv).exec()
}

/** Assembles the filter that a container without options of its own will ask for; later ones find it. */
export function warmFilter(options: Rights): void {
  if (options.privileged === true || options.seccomp !== undefined || options.capAdd !== undefined || options.capDrop !== undefined) return
  try {
    seccompProgram(process.arch, capabilitySets({}).bounding)
  } catch {
    // Whoever needs it says why there is none.
  }
}

function becomeUser(list: Operations, identity: Identity, options: Rights, map: IdMap | undefined): void {
  const single = map?.lacking !== undefined
  if (single && (identity.uid !== 0 || identity.gid !== 0)) {
    throw new MayflyError('ERR_MAYFLY_UNPRIVILEGED', `There is no user ${identity.uid}:${identity.gid}: this user's containers have root alone`, {
      hint: map.lacking,
    })
  }
  const sets = capabilitySets(options)
  if (options.noNewPrivileges === true) list.nonewprivs()
  // Installing a filter needs CAP_SYS_ADMIN or no_new_privs, and the latter would disarm the image's set-uid programs.
  if (options.privileged !== true && options.seccomp !== 'unconfined') list.seccomp(seccompProgram(process.arch, sets.bounding, options.seccomp))
  list.capabilities(sets)
  if (!single) list.groups(identity.groups)
  list.user(identity.uid, identity.gid)
}

/** The list of an exec that does nothing but replace a file of a running container. */
export function compileWrite(target: string, mode: number, content: string): Buffer {
  return new Operations().join().file(target, mode, content).leave()
}

function identityFiles(list: Operations, { hostname, hosts, resolvConf }: SandboxInput): void {
  list.mkdir('/etc', 0o755).file('/etc/hosts', 0o644, hosts)
  list.file('/etc/hostname', 0o644, `${hostname}\n`).file('/etc/resolv.conf', 0o644, resolvConf)
}
