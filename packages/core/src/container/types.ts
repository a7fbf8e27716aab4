import type { Readable } from 'node:stream'

import type { MayflyError } from '../errors.js'
import type { Protocol } from '../network/ports.js'
import type { CopyInOptions, CopyOptions, CopySource } from './copy-types.js'
import type { LimitOptions } from '../sandbox/limits.js'
import type { ContainerEvent, EventOptions } from './event-types.js'
import type { Faults } from './fault-types.js'
import type { Health } from './health-types.js'
import type { LogOptions, Logs, OutputOptions, OutputPiece } from './log-types.js'
import type { Listening, Reached } from './network-types.js'
import type { Attached, AttachOptions, ExecOptions, ExecResult, ExitStatus, Process } from './process-types.js'
import type { CommitOptions, CommittedImage, Snapshot, SnapshotOptions } from './snapshot-types.js'
import type { ContainerProcess, ContainerStats } from './stats-types.js'

export interface StopOptions {
  /** Milliseconds between the stop signal and SIGKILL. Default 10 000. */
  readonly timeout?: number | undefined
  readonly signal?: string | number | undefined
}

export interface EndOptions extends StopOptions {
  /** Whether it is removed. Kept, its log is complete, files are copied out of it, and `restart` starts it. Default true. */
  readonly remove?: boolean | undefined
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
  /**
   * Gives it other limits, while it runs: those not named stay. All of them change, or none. Throws
   * ERR_MAYFLY_LIMIT_UNSUPPORTED, ERR_MAYFLY_OPTION_INVALID, ERR_MAYFLY_OUT_OF_MEMORY for less than it cannot give back (cgroup v1;
   * with v2 it is ended for it).
   */
  update(limits: LimitOptions): Promise<void>
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
   * Stops it as `stop` does and keeps its files; as many containers as wanted start from them. With `live` it goes on. Throws
   * ERR_MAYFLY_UNSUPPORTED when its root file system is a copy of the image's; with `live` as `pause` does.
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

export type { LimitOptions } from '../sandbox/limits.js'
export type { BindMount, Mount, NamespaceMode, VolumeMount, SandboxOptions, TerminalSize } from '../sandbox/options.js'
export type { LogLine, LogOptions, Logs, OutputOptions, OutputPiece } from './log-types.js'
export type { ConnectOptions, Listening, Network, NetworkMember, NetworkOptions, PartitionOptions, Reached, Side } from './network-types.js'
export type { Attached, AttachOptions, ExecOptions, ExecResult, ExitStatus, Process } from './process-types.js'
export type { RunOptions } from './run-options.js'
export type { CommitOptions, CommittedImage, Snapshot, SnapshotInfo, SnapshotOptions } from './snapshot-types.js'
export type { ContainerProcess, ContainerStats } from './stats-types.js'
export type { Volume, VolumeOptions } from './volume-types.js'
export type { HttpWaitOptions, Wait, WaitContext, WaitOnOptions, WaitStrategy } from './wait-types.js'
export type { AllEventOptions, ContainerEvent, EventOptions } from './event-types.js'
export type { Health, Healthcheck, HealthProbe, HealthStatus } from './health-types.js'
export type { CopyInOptions, CopyOptions, CopySource, StartCopy } from './copy-types.js'
export type { Direction, Fault, Faults, FaultScope } from './fault-types.js'
export type { PortMapping, Protocol } from '../network/ports.js'
export type { MayflyError }
