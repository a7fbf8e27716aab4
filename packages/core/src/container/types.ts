import type { Readable, Writable } from 'node:stream'

import type { MayflyError } from '../errors.js'
import type { PullProgress } from '../images/progress.js'
import type { CopyInOptions, CopyOptions, CopySource, StartCopy } from './copy-types.js'
import type { ContainerEvent, EventOptions } from './event-types.js'
import type { Health, Healthcheck, HealthStatus } from './health-types.js'
import type { Fault, Faults } from './fault-types.js'
import type { PortMapping, Protocol } from '../network/ports.js'
import type { SandboxOptions, TerminalSize } from '../sandbox/options.js'

/** How to run an image. Every field is optional; what is left out comes from the image, then from Docker's defaults. */
export interface RunOptions extends Omit<SandboxOptions, 'network'> {
  /**
   * A private network or several, the first of which has the default route and the address of the handle; or `none`,
   * `host`, `container:NAME`. Default: the run's own network, on which containers know no names.
   */
  readonly network?: SandboxOptions['network'] | Network | readonly Network[] | undefined
  /** Ports of this machine's loopback that the container reaches, as `host.mayfly.internal`. Default none. */
  readonly hostPorts?: readonly number[] | undefined
  /** Further names on its networks. */
  readonly aliases?: readonly string[] | undefined
  /**
   * Ports to publish besides those the image EXPOSEs: a number, Docker's forms (`8080:80`, `127.0.0.1:8080:80`,
   * `5000-5005:5000-5005/udp`), or an object; the machine's side is its loopback.
   */
  readonly ports?: readonly (number | string | PortMapping)[] | undefined
  /**
   * Reach every port through the host's loopback instead of the container's own address. Default false. `direct`: the
   * service itself listens there, on a socket of the machine's that it is handed instead of its own (Linux 5.19), and
   * nothing is copied; neither the container itself nor others on its network reach those ports then.
   */
  readonly loopback?: boolean | 'direct' | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** Unique among this process's running containers. Default: made up from the id. */
  readonly name?: string | undefined
  /** `SIGTERM`, `TERM` or a number. Default: the image's, else SIGTERM. */
  readonly stopSignal?: string | number | undefined
  /** Keep standard input open, for `Container.attach`. Default false. */
  readonly stdin?: boolean | undefined
  /** Output waits, from the first byte, until somebody attaches: none of it is lost to whoever does. Default false. */
  readonly hold?: boolean | undefined
  /** Default `missing`. */
  readonly pull?: 'always' | 'missing' | 'never' | undefined
  /** `os/architecture`. Default: this machine's. */
  readonly platform?: string | undefined
  /** How far the image is, when it has to be pulled. */
  readonly onPull?: ((progress: PullProgress) => void) | undefined
  /** Files that are there when its program starts: `{ source: './site', target: '/srv' }`, `{ content, target, mode }`, `{ tar, target }`. */
  readonly copy?: readonly StartCopy[] | undefined
  /** How it is asked whether it is well. Default: as the image says. */
  readonly healthcheck?: Healthcheck | undefined
  /** When the container counts as started. Default: HEALTHCHECK, else `ports`, else any EXPOSEd port, else running. */
  readonly ready?: WaitStrategy | undefined
  /** Milliseconds, counted once the image is there. Default 60 000. */
  readonly startTimeout?: number | undefined
  /** Ends the start: the container is removed and ERR_MAYFLY_ABORTED thrown. */
  readonly signal?: AbortSignal | undefined
  /** Where the container's changes live. Default `memory`, or `disk` when a memory limit is set. */
  readonly scratch?: 'memory' | 'disk' | undefined
  /**
   * Size of the writable layer, a number of bytes or text such as `64m`; what does not fit fails with ENOSPC. For one in
   * memory, which it then is by default. Default: half of the machine's memory.
   */
  readonly storage?: number | string | undefined
  /**
   * How the root file system comes from the image's layers. Default: MAYFLY_DRIVER, else the first that works of the
   * kernel's overlay, fuse-overlayfs and a copy (by reflink where the file system has it).
   */
  readonly driver?: 'overlay' | 'fuse-overlayfs' | 'copy' | undefined
}

export interface NetworkOptions {
  /** Unique among the networks of this process. Default: made up from the id. */
  readonly name?: string | undefined
  /** Nothing outside of it is reached from it. Default false. */
  readonly internal?: boolean | undefined
  /** Containers at a time, 1 to 1021. Default 29. */
  readonly size?: number | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
}

export interface VolumeOptions {
  /** Letters, digits, dots, hyphens and underscores. One of this name is taken up again. Default: made up. */
  readonly name?: string | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
}

/** A directory that containers share, or that outlives them: `mounts: [{ volume, target: '/data' }]`. */
export interface Volume {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt: Date
  /** Where its files lie on this machine. */
  readonly directory: string
  /** Throws ERR_MAYFLY_VOLUME_IN_USE while containers have it. */
  remove(): Promise<void>
  /** Removes it, unless it has a name of its own. */
  [Symbol.asyncDispose](): Promise<void>
}

/** A server of this machine: one of node:net's or node:http's that listens, or a port of the loopback. */
export type Listening = number | { address(): { readonly port: number; readonly address: string } | string | null }

/** A server of this machine as containers see it. */
export interface Reached {
  /** `host.mayfly.internal`; `host.docker.internal` is the same. */
  readonly host: string
  /** The server's own port. */
  readonly port: number
  /** `scheme://host:port`. Default scheme `http`. */
  url(scheme?: string): string
  /** From now on nobody reaches it; connections go on. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface ConnectOptions {
  /** Names beside the container's own. */
  readonly aliases?: readonly string[] | undefined
}

export interface NetworkMember {
  readonly id: string
  readonly name: string
  readonly ip: string
  readonly aliases: readonly string[]
}

/** One container, or several. */
export type Side = Pick<Container, 'id' | 'name'> | readonly Pick<Container, 'id' | 'name'>[]

/** A private network: its containers reach one another by name and alias, and those of other networks not at all. */
export interface Network {
  readonly id: string
  readonly name: string
  readonly internal: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt: Date
  /** `198.18.4.0/27` */
  readonly subnet: string
  readonly gateway: string
  readonly containers: readonly NetworkMember[]
  /** A further interface for a running container. Throws ERR_MAYFLY_OPTION_INVALID when it is connected already. */
  connect(container: Pick<Container, 'id' | 'name'>, options?: ConnectOptions): Promise<void>
  disconnect(container: Pick<Container, 'id' | 'name'>): Promise<void>
  /** Lets its containers reach a server of this machine, as `host.mayfly.internal`. */
  reach(server: Listening): Promise<Reached>
  /** Nothing passes between the two, or between any of the one side and any of the other, until it is cleared. */
  partition(one: Side, other: Side): Promise<Fault>
  /** Throws ERR_MAYFLY_NETWORK_IN_USE while it has containers; disposal takes it away from them. */
  remove(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface ExecOptions {
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly user?: string | undefined
  readonly cwd?: string | undefined
  /** Sent to the command's standard input, which is then closed. Default: it has none; a process of `spawn` has it open. */
  readonly stdin?: string | Uint8Array | Readable | undefined
  /** The same as `stdin`. */
  readonly input?: string | Uint8Array | undefined
  /** A terminal for the standard streams: output and errors are one stream then. Default none. */
  readonly tty?: boolean | TerminalSize | undefined
  /** Milliseconds; then the command is killed and ERR_MAYFLY_TIMEOUT thrown. Default: none. */
  readonly timeout?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly privileged?: boolean | undefined
}

export interface ExecResult {
  /** 127 when the command does not exist, 126 when it cannot be executed, 128 + signal when a signal ended it. */
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** A command that runs in a container, with its streams. */
export interface Process extends AsyncDisposable {
  /** What is written after the process closed it fails with ERR_MAYFLY_STDIN_CLOSED. */
  readonly stdin: Writable
  readonly stdout: Readable
  /** Empty with a terminal. What is not read of either stream holds the command up after 1 MiB. */
  readonly stderr: Readable
  /** Settles when it has ended and all its output is here. Rejects by `timeout`, `signal`, and with ERR_MAYFLY_RUN_LOST. */
  readonly exit: Promise<ExitStatus>
  /** Throws ERR_MAYFLY_NOT_RUNNING, and ERR_MAYFLY_OPTION_INVALID without a terminal. */
  resize(size: TerminalSize): Promise<void>
  /** Sends a signal; default SIGKILL. Harmless when it has ended. */
  kill(signal?: string | number): Promise<void>
}

export interface AttachOptions {
  /** Begin with what is kept of the output so far. Default false. */
  readonly logs?: boolean | undefined
  /** Take over standard input, which one at a time can have. Default true. */
  readonly stdin?: boolean | undefined
}

/** A container's own standard streams. What is read slowly holds the container up, and nothing is lost. */
export interface Attached extends AsyncDisposable {
  /** Absent when the container was started without `stdin`, or has closed it. */
  readonly stdin: Writable | undefined
  readonly stdout: Readable
  /** Empty with a terminal. */
  readonly stderr: Readable
  /** Settles when it has ended and all its output is here. Rejects with ERR_MAYFLY_ABORTED after `detach`. */
  readonly exit: Promise<ExitStatus>
  /** Throws ERR_MAYFLY_NOT_RUNNING, and ERR_MAYFLY_OPTION_INVALID without a terminal. */
  resize(size: TerminalSize): Promise<void>
  /** Lets go of the container, which goes on with its input open. */
  detach(): Promise<void>
}

export interface ExitStatus {
  /** Exit status; -1 when a signal ended the process. */
  readonly code: number
  /** Signal name such as `SIGKILL`, absent when the process exited by itself. */
  readonly signal: string | undefined
  /** Whether the memory limit ended it. */
  readonly oomKilled: boolean
}

export interface LogOptions {
  /** Go on until the container ends. Default false. */
  readonly follow?: boolean | undefined
  /** Puts its time before each line's text, as RFC 3339 has it, and a space. Default false. */
  readonly timestamps?: boolean | undefined
  /** Only the last so many lines; those that come later with `follow` as well. */
  readonly tail?: number | undefined
  /** Only what was written at this time or later: a Date, or milliseconds since 1970. */
  readonly since?: Date | number | undefined
  /** Only what was written before this time; with `follow`, the end of it. */
  readonly until?: Date | number | undefined
  /** Default both. */
  readonly stream?: 'stdout' | 'stderr' | undefined
  /** Only what was written since its last start. Default false. */
  readonly sinceStart?: boolean | undefined
}

export type OutputOptions = Omit<LogOptions, 'tail' | 'timestamps'>

/** A log as lines; or, by `stream()`, as their text. Read slowly, it holds up nobody: see `LogLine.dropped`. */
export interface Logs extends AsyncIterable<LogLine> {
  /** The lines as UTF-8, each with its line end and, with `timestamps`, its time before it. */
  stream(): Readable
}

/** A piece of a container's output as it was written; it may end in the middle of a line or of a character. */
export interface OutputPiece {
  readonly time: Date
  readonly stream: 'stdout' | 'stderr'
  readonly bytes: Uint8Array
  /** Set when this piece, itself empty, stands for output that is kept no more: so many bytes. */
  readonly dropped?: number
}

export interface LogLine {
  readonly time: Date
  readonly stream: 'stdout' | 'stderr'
  /** Without its line end. */
  readonly text: string
  /** Set when this line stands for output that is kept no more: so many bytes. */
  readonly dropped?: number
}

export interface StopOptions {
  /** Milliseconds between the stop signal and SIGKILL. Default 10 000. */
  readonly timeout?: number | undefined
  readonly signal?: string | number | undefined
}

export interface EndOptions extends StopOptions {
  /** Whether it is removed. Kept, its log is complete, files are copied out of it, and `restart` starts it. Default true. */
  readonly remove?: boolean | undefined
}

/** Where the machine gives Mayfly no cgroups: what the processes that run at the moment have. */
export interface ContainerStats {
  /** Bytes; 0 where the machine does not count. */
  readonly memory: number
  readonly memoryPeak: number
  /** Nanoseconds of processor time. */
  readonly cpu: number
  readonly pids: number
  /** Bytes from and to block devices; what the page cache still holds is not counted. */
  readonly io: { readonly read: number; readonly written: number }
  /** Bytes through its network interfaces, the loopback left out. */
  readonly network: { readonly received: number; readonly sent: number }
}

/** A process in a container. */
export interface ContainerProcess {
  /** Inside the container, and on this machine. */
  readonly pid: number
  readonly hostPid: number
  /** This machine's number of its user. */
  readonly user: number
  /** The kernel's letter: R, S, D, T, Z. */
  readonly state: string
  readonly command: readonly string[]
  /** Nanoseconds of processor time. */
  readonly cpu: number
  /** Bytes it has in memory. */
  readonly memory: number
}

/** A container whose files are there, and whose program has not been started yet. */
export interface CreatedContainer extends AsyncDisposable {
  readonly id: string
  readonly name: string
  readonly image: string
  /** See `Container`. */
  copyIn(source: CopySource, target: string, options?: CopyInOptions): Promise<void>
  copyOut(source: string, target: string, options?: CopyOptions): Promise<void>
  archive(source: string, options?: CopyOptions): Promise<Readable>
  rename(name: string): Promise<void>
  events(options?: EventOptions): AsyncIterable<ContainerEvent>
  /** Starts it and waits until it is ready; what goes wrong removes it. Throws as `run` does. */
  start(): Promise<Container>
}

/** A running container. It dies with the process that made it, however that ends. */
export interface Container {
  /** 64 hexadecimal characters. */
  readonly id: string
  readonly name: string
  /** The image's reference, as people write it. */
  readonly image: string
  /** Address inside the run's network. */
  readonly ip: string
  /** Where `port()` is reached: the container's own address, or 127.0.0.1 for ports on the loopback. */
  readonly host: string
  /** Every TCP port the image EXPOSEs or the options name. */
  readonly ports: readonly number[]
  /** The same of UDP ports. */
  readonly udpPorts: readonly number[]
  /** The number under which the container's port is reached at `host`. Throws ERR_MAYFLY_OPTION_INVALID when it is none. */
  port(container: number, protocol?: Protocol): number
  /** `scheme://host:port`. Default scheme `http`. */
  urlOf(container: number, scheme?: string): string
  /**
   * A path on this machine that leads to a unix socket of the container's; of a directory with all its sockets, when
   * `path` is one. Gone with the container. Throws ERR_MAYFLY_OPTION_INVALID when nothing listens there.
   */
  socket(path: string): Promise<string>
  /** Lets the container reach a server of this machine, as `host.mayfly.internal`. */
  reach(server: Listening): Promise<Reached>
  /** `fetch` on the first HTTP-like port: `path` is relative to it. */
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Runs a command inside. A missing command gives exit code 127, not an error. */
  exec(command: readonly string[], options?: ExecOptions): Promise<ExecResult>
  /** Starts a command inside. Throws ERR_MAYFLY_COMMAND_NOT_FOUND, ERR_MAYFLY_COMMAND_NOT_EXECUTABLE. */
  spawn(command: readonly string[], options?: ExecOptions): Promise<Process>
  /** Joins the standard streams of its own process. */
  attach(options?: AttachOptions): Promise<Attached>
  logs(options?: LogOptions): Logs
  /** The same output byte for byte. */
  output(options?: OutputOptions): AsyncIterable<OutputPiece>
  /**
   * Copies into it, as `docker cp` does: into a directory that is there under the source's name, else to the target as its
   * name; a source that ends in `/.` stands for what is in it. A file is there whole or not at all. Works whether it runs
   * or has ended. Throws ERR_MAYFLY_PATH_NOT_FOUND, ERR_MAYFLY_COPY_FAILED, ERR_MAYFLY_DISK_FULL.
   */
  copyIn(source: CopySource, target: string, options?: CopyInOptions): Promise<void>
  /**
   * Copies out of it to this machine, by the same rules. The copies are the caller's; devices and sockets are left out.
   * Throws ERR_MAYFLY_PATH_NOT_FOUND, ERR_MAYFLY_COPY_FAILED, ERR_MAYFLY_DISK_FULL.
   */
  copyOut(source: string, target: string, options?: CopyOptions): Promise<void>
  /** A file or directory of its as a plain tar, under its name. Throws, or the stream fails with, ERR_MAYFLY_PATH_NOT_FOUND. */
  archive(source: string, options?: CopyOptions): Promise<Readable>
  /** The stop signal, then SIGKILL after the timeout, then removal, unless `remove` is false. Harmless when stopped already. */
  stop(options?: EndOptions): Promise<void>
  /** Sends a signal. Default SIGKILL. */
  kill(signal?: string | number): Promise<void>
  /** What shall go wrong with it, until it is cleared. */
  readonly faults: Faults
  pause(): Promise<void>
  unpause(): Promise<void>
  stats(): Promise<ContainerStats>
  /** Its processes, its own first. Needs no program of the image. Empty when it has ended. */
  top(): Promise<readonly ContainerProcess[]>
  /** Whether it is well, by its health check; undefined when it has none. */
  readonly health: Health | undefined
  /** Gives it another name, by which the others of its networks find it from now on. Throws ERR_MAYFLY_NAME_IN_USE. */
  rename(name: string): Promise<void>
  /** What happens to it, from the call on; ends when it is removed. */
  events(options?: EventOptions): AsyncIterable<ContainerEvent>
  /**
   * Stops it as `stop` does, if it runs, and starts it again: the same files, name, address and ports; what is on a tmpfs
   * is new. Waits until it is ready. Also for one that has ended. Throws as `run` does, and leaves it there.
   */
  restart(options?: StopOptions): Promise<void>
  /**
   * Stops it as `stop` does and keeps its files; as many containers as wanted start from them. Throws
   * ERR_MAYFLY_UNSUPPORTED when its root file system is a copy of the image's.
   */
  snapshot(options?: SnapshotOptions): Promise<Snapshot>
  /**
   * Makes an image of its files as they are now, and of the settings it runs with. Throws ERR_MAYFLY_UNSUPPORTED when its
   * changes are in memory.
   */
  commit(options?: CommitOptions): Promise<CommittedImage>
  /** Settles when the container's process has ended; never rejects. After `restart` it is that of the new one. */
  readonly exit: Promise<ExitStatus>
  /** SIGKILL and removal at once. */
  [Symbol.asyncDispose](): Promise<void>
}

export interface CommitOptions {
  /** What the image is called; default nothing. */
  readonly name?: string | undefined
  readonly message?: string | undefined
  readonly author?: string | undefined
  /** Instructions as in a Dockerfile that change the image's settings: `CMD ["x"]`. */
  readonly changes?: readonly string[] | undefined
  /** Whether the container stands still meanwhile, where the machine can have it so. Default true. */
  readonly pause?: boolean | undefined
}

export interface CommittedImage {
  /** Digest of the configuration. */
  readonly id: string
  /** Digest of the manifest. */
  readonly digest: string
}

export interface SnapshotOptions extends StopOptions {
  /** What it is found by later: letters, digits and dashes. Default: made up. */
  readonly key?: string | undefined
  /** Free text for listings. */
  readonly label?: string | undefined
  /** Files that belong to the stopped process only, besides sockets and what lies in /run and /tmp: `var/lib/x/*.pid`. */
  readonly clear?: readonly string[] | undefined
}

export interface SnapshotInfo {
  readonly key: string
  readonly label: string
  readonly image: string
  readonly createdAt: Date
  /** Bytes of the files it keeps. */
  readonly size: number
}

/** Files of a stopped container, kept in the store until removed. */
export interface Snapshot extends SnapshotInfo {
  /** Starts a container from it: with the first one's options, but for its name and fixed ports on the host, and `options`. */
  run(options?: RunOptions): Promise<Container>
  /** Throws ERR_MAYFLY_STORE_BUSY while containers run from it. */
  remove(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** What a strategy may look at. */
export interface WaitContext {
  readonly container: Container
  /** Ports that `ports` names. */
  readonly ports: readonly number[]
  /** Ports the image EXPOSEs. */
  readonly exposed: readonly number[]
  /** Aborted when the container ends, the time is up or the start is cancelled. */
  readonly signal: AbortSignal
  /** Settles with the status of its health check once that is not `starting`; undefined when it has none. */
  readonly healthy: (() => Promise<HealthStatus>) | undefined
  /** Resolves when something inside listens on the TCP port. `signal` ends the wait earlier. */
  listening(port: number, signal?: AbortSignal): Promise<void>
  /** Whether something exists inside at an absolute path. */
  exists(path: string): Promise<boolean>
  /** Paths of the unix sockets that are listened at inside. */
  sockets(): Promise<readonly string[]>
  /** What was seen instead of what is waited for; the last of it stands in the error. */
  saw(what: string): void
}

/** When a container counts as ready. Made by `wait.…`. */
export interface WaitStrategy {
  /** What is waited for, as it reads after "waiting for". */
  readonly description: string
  /** Whether the container may end while this waits (`wait.exit`). */
  readonly acceptsExit?: boolean | undefined
  ready(context: WaitContext): Promise<void>
}

/** A strategy of `wait.…`. */
export interface Wait extends WaitStrategy {
  /** The same with a limit of its own, in milliseconds, besides that of the start: ERR_MAYFLY_TIMEOUT. */
  within(milliseconds: number): Wait
}

export interface WaitOnOptions {
  /** Milliseconds for which what was found has to stay as it is. Default 0. */
  readonly window?: number | undefined
  /** Turns it round: waits until none of them is there. Default false. */
  readonly reverse?: boolean | undefined
  /** Whether certificates are checked. Default false. */
  readonly strictSSL?: boolean | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

export interface HttpWaitOptions {
  /** Default: the first of `ports`, else the first EXPOSEd port. */
  readonly port?: number | undefined
  /** Default any of 200–399. */
  readonly status?: number | readonly number[] | ((status: number) => boolean) | undefined
  readonly method?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: RegExp | string | ((body: string) => boolean) | undefined
  /** Headers of the answer, whole or by pattern. */
  readonly answer?: Readonly<Record<string, string | RegExp>> | undefined
  /** Sent with the request. */
  readonly send?: string | undefined
  /** By TLS: with this machine's authorities, with one's own, or whoever answers. Default false. */
  readonly tls?: boolean | { readonly ca?: string | undefined; readonly servername?: string | undefined; readonly insecure?: boolean | undefined } | undefined
  /** Milliseconds of silence after which a request is given up and made again. Default 10 000. */
  readonly patience?: number | undefined
  readonly auth?: { readonly user: string; readonly password: string } | undefined
}

export type { BindMount, Mount, NamespaceMode, VolumeMount, SandboxOptions, TerminalSize } from '../sandbox/options.js'
export type { AllEventOptions, ContainerEvent, EventOptions } from './event-types.js'
export type { Health, Healthcheck, HealthProbe, HealthStatus } from './health-types.js'
export type { CopyInOptions, CopyOptions, CopySource, StartCopy } from './copy-types.js'
export type { Direction, Fault, Faults, FaultScope } from './fault-types.js'
export type { PortMapping, Protocol } from '../network/ports.js'
export type { MayflyError }
