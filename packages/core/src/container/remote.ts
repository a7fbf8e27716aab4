import type { Readable } from 'node:stream'

import { MayflyError } from '../errors.js'
import { imageFile } from '../images/index.js'
import { METHOD, privilege, type Connection } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { attach } from './attach.js'
import type { CopyInOptions, CopyOptions, CopySource } from './copy-types.js'
import type { Files } from './copy.js'
import { heedInput, isTerminal, openProcess } from './exec.js'
import { compileCommand, type Place } from './inside.js'
import { FLAG, startDetached } from './process.js'
import { connectRun, findContainer, listRuns, type RunningListing } from './runs.js'
import { signalNumber } from './signals.js'
import type { Attached, AttachOptions, ExecOptions, Process } from './types.js'

/** A container of any live run of this user, to be worked with from here. Its owner is not asked. */
export class RemoteContainer implements AsyncDisposable {
  readonly id: string
  readonly name: string
  /** Whether its standard streams are a terminal. */
  readonly tty: boolean
  readonly state: RunningListing['state']
  readonly #connection: Connection
  readonly #listing: RunningListing

  constructor(connection: Connection, listing: RunningListing) {
    this.#connection = connection
    this.#listing = listing
    this.id = listing.id
    this.name = listing.name
    this.tty = listing.tty
    this.state = listing.state
  }

  /** See `Container.spawn`; ends with this connection. */
  async spawn(command: readonly string[], options: ExecOptions = {}): Promise<Process> {
    heedInput(options)
    return openProcess(this.#connection, this.id, await compileCommand(this.#place(), command, options), options, true)
  }

  /** Starts a command that goes on when this connection ends, its output thrown away. */
  async spawnDetached(command: readonly string[], options: ExecOptions = {}): Promise<void> {
    const flags = isTerminal(options.tty) ? FLAG.terminal : 0
    await startDetached(this.#connection, this.id, await compileCommand(this.#place(), command, options), flags)
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

  [Symbol.asyncDispose](): Promise<void> {
    this.#connection.close()
    return Promise.resolve()
  }

  #place(): Place {
    const { id, name, inside, stack } = this.#listing
    if (this.state !== 'running') throw new MayflyError('ERR_MAYFLY_NOT_RUNNING', `Container ${name} is not running`)
    if (inside === undefined) throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `Container ${name} is of another version of Mayfly`)
    const own = privilege()
    return { id, inside, map: own.mode === 'user' ? own.map : undefined, accounts: () => accountsIn(stack) }
  }

  #files(): Files {
    const { id, name, stack } = this.#listing
    return { connection: this.#connection, id, name, accounts: () => accountsIn(stack) }
  }
}

function accountsIn(stack: RunningListing['stack']): Promise<readonly [string, string]> {
  const file = async (path: string): Promise<string> => (await imageFile({ stack }, path))?.toString('utf8') ?? ''
  return Promise.all([file('/etc/passwd'), file('/etc/group')])
}

/** Finds a container by id, the start of an id, or name. Throws ERR_MAYFLY_CONTAINER_NOT_FOUND. */
export async function openContainer(which: string): Promise<RemoteContainer> {
  const listing = await findContainer(which)
  const run = (await listRuns()).find(({ id }) => id === listing.runId)
  if (run === undefined) throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', `${listing.name} is gone`)
  return new RemoteContainer(await connectRun(run.file), listing)
}
