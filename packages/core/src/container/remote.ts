import type { Readable } from 'node:stream'

import { MayflyError } from '../errors.js'
import { imageFile } from '../images/index.js'
import { decodeExit, METHOD, privilege, type Connection } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { attach } from './attach.js'
import type { CopyInOptions, CopyOptions, CopySource } from './copy-types.js'
import type { Files } from './copy.js'
import { freeze } from './freezer.js'
import { readMemoryLimit, readStats } from './stats.js'
import { heedInput, isTerminal, openProcess } from './exec.js'
import { compileCommand, type Place } from './inside.js'
import { FLAG, startDetached } from './process.js'
import { findContainer, isUp, notRunning, reachRun, type OpenRun, type RunningListing } from './runs.js'
import { signalNumber } from './signals.js'
import type { Features } from '../sandbox/limits.js'
import type { Attached, AttachOptions, ContainerProcess, ContainerStats, ExecOptions, Process } from './types.js'

/** A container of any live run of this user, to be worked with from here. Its owner is not asked. */
export class RemoteContainer implements AsyncDisposable {
  readonly id: string
  readonly name: string
  /** Whether its standard streams are a terminal. */
  readonly tty: boolean
  readonly state: RunningListing['state']
  readonly #connection: Connection
  readonly #features: Features
  readonly #run: OpenRun
  readonly #listing: RunningListing

  readonly #filesId: string | undefined

  /** `files`: what the supervisor calls the files of one that does not run. */
  constructor(run: OpenRun, listing: RunningListing, files?: string) {
    const { connection, features } = run
    this.#run = run
    this.#filesId = files
    this.#connection = connection
    this.#features = features
    this.#listing = listing
    this.id = listing.id
    this.name = listing.name
    this.tty = listing.tty
    this.state = listing.state
  }

  /** See `Container.spawn`; ends with this connection. */
  async spawn(command: readonly string[], options: ExecOptions = {}): Promise<Process> {
    heedInput(options)
    this.#refusePaused()
    return openProcess(this.#connection, this.id, await compileCommand(this.#place(), command, options), options, true)
  }

  /** Starts a command that goes on when this connection ends, its output thrown away. */
  async spawnDetached(command: readonly string[], options: ExecOptions = {}): Promise<void> {
    this.#refusePaused()
    const flags = isTerminal(options.tty) ? FLAG.terminal : 0
    await startDetached(this.#connection, this.id, await compileCommand(this.#place(), command, options), flags)
  }

  /** Nothing of it would run before it goes on. */
  #refusePaused(): void {
    if (this.state === 'paused') throw new MayflyError('ERR_MAYFLY_NOT_RUNNING', `Container ${this.name} is paused`, { hint: `Let it go on first: mayfly unpause ${this.name}` })
  }

  /** See `Container.attach`. */
  attach({ logs = false, stdin = true }: AttachOptions = {}): Promise<Attached> {
    return attach(this.#connection, { id: this.id, terminal: this.tty, input: stdin, logs })
  }

  /** See `Container.copyIn`. */
  async copyIn(source: CopySource, target: string, options: CopyInOptions = {}): Promise<void> {
    return (await import('./copy.js')).copyInto(this.#files(), source, target, options)
  }

  /** See `Container.copyOut`. */
  async copyOut(source: string, target: string, options: CopyOptions = {}): Promise<void> {
    return (await import('./copy.js')).copyFrom(this.#files(), source, target, options)
  }

  /** See `Container.archive`. */
  async archive(source: string, options: CopyOptions = {}): Promise<Readable> {
    return (await import('./copy.js')).archiveOf(this.#files(), source, options)
  }

  /** Sends a signal to its own process. */
  async kill(signal: string | number = 'SIGKILL'): Promise<void> {
    await this.#connection.request(METHOD.signal, new Writer().str(this.id).u32(0).u32(signalNumber(signal)).take())
  }

  /** Stops all its processes where they are, or lets them go on. Throws ERR_MAYFLY_LIMIT_UNSUPPORTED where there is no freezer. */
  async pause(still: boolean): Promise<void> {
    await freeze(this.#connection, this.#features, this.id, still)
  }

  /** What it has used so far, and how much memory it may. */
  async stats(): Promise<ContainerStats & { readonly memoryLimit: number }> {
    const [used, memoryLimit] = await Promise.all([readStats(this.#run, this.id, true), readMemoryLimit(this.#connection, this.#features, this.id)])
    return { ...used, memoryLimit }
  }

  /** See `Container.top`. Throws ERR_MAYFLY_NOT_RUNNING. */
  async top(): Promise<readonly ContainerProcess[]> {
    if (!isUp(this)) throw notRunning(this.name, this.state)
    return (await import('./top.js')).processesOf(this.#run, this.id)
  }

  /** How it ends, with its exit code as a shell has it. Rejects with ERR_MAYFLY_RUN_LOST. */
  async wait(): Promise<number> {
    const { code, signal } = decodeExit(await this.#connection.request(METHOD.wait, new Writer().str(this.id).take()))
    return signal === 0 ? code : 128 + signal
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#connection.close()
    return Promise.resolve()
  }

  #place(): Place {
    const { id, name, inside, stack } = this.#listing
    if (!isUp(this)) throw notRunning(name, this.state)
    if (inside === undefined) throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `Container ${name} is of another version of Mayfly`)
    const own = privilege()
    return { id, inside, map: own.mode === 'user' ? own.map : undefined, accounts: () => accountsIn(stack) }
  }

  #files(): Files {
    const { id, name, stack } = this.#listing
    return { connection: this.#connection, id: this.#filesId ?? id, name, accounts: () => accountsIn(stack) }
  }
}

function accountsIn(stack: RunningListing['stack']): Promise<readonly [string, string]> {
  const file = async (path: string): Promise<string> => (await imageFile({ stack }, path))?.toString('utf8') ?? ''
  return Promise.all([file('/etc/passwd'), file('/etc/group')])
}

/** Finds a container by id, the start of an id, or name. Throws ERR_MAYFLY_CONTAINER_NOT_FOUND. */
export async function openContainer(which: string): Promise<RemoteContainer> {
  const listing = await findContainer(which)
  return new RemoteContainer(await reachRun(listing), listing)
}

/** The files of a container that the keeper opened for this process; named by whole ids. Throws ERR_MAYFLY_CONTAINER_NOT_FOUND. */
export async function openKeptFiles(container: RunningListing, { id, run }: { readonly id: string; readonly run: string }): Promise<Pick<RemoteContainer, 'copyIn' | 'copyOut' | 'archive' | typeof Symbol.asyncDispose>> {
  return new RemoteContainer(await reachRun({ ...container, runId: run }), container, id)
}
