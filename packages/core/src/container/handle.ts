import { join } from 'node:path'
import type { Readable } from 'node:stream'

import { MayflyError } from '../errors.js'
import { METHOD, type LogRecord } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import type { Protocol } from '../network/ports.js'
import { limitsOf } from '../sandbox/index.js'
import type { DriverName } from './drivers.js'
import { execute, heedInput, isTerminal, openProcess } from './exec.js'
import { compileCommand } from './inside.js'
import { Endpoints } from './endpoints.js'
import { ContainerFaults } from './faults.js'
import type { Happening } from './events.js'
import type { HandleInput } from './handle-input.js'
import type { ContainerEvent, EventOptions } from './event-types.js'
import type { Source } from './keeping.js'
import type { Label } from './label.js'
import { isGone, Life } from './life.js'
import type { Health, HealthProbe, HealthStatus } from './health-types.js'
import { logsOf } from './logs.js'
import { readOutput, readRecords } from './output.js'
import { reachFrom, sourceOf } from './reach.js'
import { signalNumber } from './signals.js'
import { Sockets } from './sockets.js'
import { readStats } from './stats.js'
import { storageOf } from './storage.js'
import type { CopyInOptions, CopyOptions, CopySource } from './copy-types.js'
import type { Files } from './copy.js'
import type { Attached, AttachOptions, CommitOptions, CommittedImage, Container, ContainerProcess, ContainerStats, EndOptions, ExecOptions, ExecResult, ExitStatus, LimitOptions, Listening, LogOptions, Logs, OutputOptions, OutputPiece, Process, Reached, Snapshot, SnapshotOptions, StopOptions } from './types.js'

/** The handle of a container that was created. */
export class RunningContainer implements Container {
  readonly id: string
  readonly image: string
  readonly ip: string
  readonly host: string
  readonly #input: HandleInput
  #name: string
  readonly #endpoints: Endpoints
  readonly #life: Life
  #awaited = false
  #removal: Promise<void> | undefined
  #sockets: Sockets
  #faults: ContainerFaults | undefined
  #limits: LimitOptions
  readonly #reached: Reached[] = []
  readonly checks = new Set<() => void>()

  constructor(input: HandleInput) {
    this.#input = input
    this.#sockets = new Sockets(input.run, input.id)
    this.#limits = limitsOf(input.options)
    this.id = input.id
    this.#name = input.name
    this.image = input.image.reference.familiar
    this.#endpoints = new Endpoints(input)
    this.ip = this.#endpoints.ip
    this.host = this.#endpoints.host
    this.#life = new Life({
      run: input.run, id: input.id, exit: input.exit, checkup: input.checkup,
      stopSignal: input.options.stopSignal ?? input.image.config.StopSignal ?? 'SIGTERM',
      ask: async (command, timeout) => {
        const { exitCode, stdout, stderr } = await execute(input.run.connection, this.id, await this.#compile(command, {}), { timeout }, true)
        return { exitCode, output: `${stdout}${stderr}` }
      },
      tell: (what) => { this.#tell(what) },
      checked: () => { for (const tell of [...this.checks]) tell() },
    })
    this.#tell({ kind: 'created' })
  }

  get name(): string {
    return this.#name
  }

  /** Its program is started, for the first time. */
  async begin(): Promise<void> {
    await this.#input.begin()
    this.#life.begun('started')
  }

  get health(): Health | undefined {
    return this.#life.health
  }

  /** See `Watch.settled`. */
  settled(signal: AbortSignal, saw: (probe: HealthProbe) => void): Promise<HealthStatus> {
    return this.#life.settled(signal, saw)
  }

  events(options: EventOptions = {}): AsyncIterable<ContainerEvent> {
    return this.#input.run.events.listen(options, this.id)
  }

  get exit(): Promise<ExitStatus> {
    this.#holdProcess()
    return this.#life.exit
  }

  /** Settles like `exit`, without keeping this process alive. */
  get ending(): Promise<ExitStatus> {
    return this.#life.exit
  }

  /** Why one of its ports on the machine cannot be listened at. */
  get refusal(): Promise<MayflyError> {
    return this.#input.refusal
  }

  /** Whether it has ports on the machine. */
  get isPublished(): boolean {
    return this.#input.published.length > 0
  }

  /** See `Endpoints.ports`. */
  get ports(): readonly number[] {
    return this.#endpoints.ports
  }

  get udpPorts(): readonly number[] {
    return this.#endpoints.udpPorts
  }

  port(container: number, protocol?: Protocol): number {
    return this.#endpoints.port(container, protocol)
  }

  urlOf(container: number, scheme?: string): string {
    return this.#endpoints.urlOf(container, scheme)
  }

  socket(path: string): Promise<string> {
    return this.#sockets.open(path)
  }

  async reach(server: Listening): Promise<Reached> {
    const reached = await reachFrom(this.#input.run, server, sourceOf(this.ip))
    this.#reached.push(reached)
    return reached
  }

  fetch(path: string, init?: RequestInit): Promise<Response> {
    return this.#endpoints.fetch(path, init)
  }

  async exec(command: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    heedInput(options)
    return execute(this.#input.run.connection, this.id, await this.#compile(command, options), options)
  }

  async spawn(command: readonly string[], options: ExecOptions = {}): Promise<Process> {
    heedInput(options)
    return openProcess(this.#input.run.connection, this.id, await this.#compile(command, options), options, true)
  }

  async attach({ logs = false, stdin = true }: AttachOptions = {}): Promise<Attached> {
    const { run, options } = this.#input
    const { attach } = await import('./attach.js')
    return attach(run.connection, { id: this.id, terminal: isTerminal(options.tty), input: stdin && options.stdin === true, logs })
  }

  #compile(command: readonly string[], options: ExecOptions): Promise<Buffer> {
    const { run, inside, accounts } = this.#input
    return compileCommand({ id: this.id, inside, accounts, map: run.map }, command, options)
  }

  logs(options: LogOptions = {}): Logs {
    return logsOf(this.#input.run.connection, this.id, options)
  }

  /** What is kept of its output, as the supervisor keeps it. */
  records(options: OutputOptions = {}): AsyncIterable<LogRecord> {
    return readRecords(this.#input.run.connection, this.id, options)
  }

  /** What those who did not start it are told of it. */
  get label(): Label {
    return this.#input.label
  }

  output(options: OutputOptions = {}): AsyncIterable<OutputPiece> {
    return readOutput(this.#input.run.connection, this.id, options)
  }

  async copyIn(source: CopySource, target: string, options: CopyInOptions = {}): Promise<void> {
    return (await import('./copy.js')).copyInto(this.#files(), source, target, options)
  }

  async copyOut(source: string, target: string, options: CopyOptions = {}): Promise<void> {
    return (await import('./copy.js')).copyFrom(this.#files(), source, target, options)
  }

  async archive(source: string, options: CopyOptions = {}): Promise<Readable> {
    return (await import('./copy.js')).archiveOf(this.#files(), source, options)
  }

  #files(): Files {
    const { run, accounts } = this.#input
    this.#there()
    return { connection: run.connection, id: this.id, name: this.name, accounts }
  }

  async stop({ remove = true, ...options }: EndOptions = {}): Promise<void> {
    if (this.#removal !== undefined) return this.#removal
    await this.#life.ask(options)
    if (remove) return this[Symbol.asyncDispose]()
    await this.#life.ensureEnd()
  }

  async restart(options: StopOptions = {}): Promise<void> {
    const { run, image, given } = this.#input
    this.#there()
    await this.#life.ask(options)
    await this.#life.ensureEnd()
    this.#there()
    this.#sockets.close()
    this.#sockets = new Sockets(run, this.id)
    this.#faults = undefined
    const { exit } = await this.#input.again()
    this.#awaited = false
    this.#life.again(exit)
    const { waitReady } = await import('./readiness.js')
    await waitReady(run.connection, this, image, given)
  }

  async rename(name: string): Promise<void> {
    this.#there()
    const from = this.#name
    if (name === from) return
    await this.#input.renamed(name)
    this.#name = name
    this.#tell({ kind: 'renamed', from })
  }

  async update(limits: LimitOptions): Promise<void> {
    const { run: { connection, hello: { features } } } = this.#input
    this.#there()
    const { changeLimits, mergeLimits } = await import('./limits.js')
    const next = await mergeLimits(this.#limits, limits)
    await changeLimits(connection, features, this.id, this.#limits, next)
    this.#limits = next
  }

  async top(): Promise<readonly ContainerProcess[]> {
    return (await import('./top.js')).processesOf(this.#input.run, this.id)
  }

  #there(): void {
    if (this.#removal !== undefined) throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', `${this.name} has been removed`)
  }

  #tell(what: Happening): void {
    const { run, options: { labels = {} }, given: { mounts }, journal } = this.#input
    run.events.tell({ id: this.id, name: this.#name, image: this.image, labels, startedAt: this.#life.startedAt, mounts }, what, journal)
  }

  /** Ends it as `stop` does, and leaves it there. */
  async end(options: StopOptions = {}): Promise<void> {
    await this.#life.ask(options)
    if (!this.#life.ended) await this.kill()
    await this.#life.exit
  }

  /** How its root file system is made. */
  get driver(): DriverName {
    return this.#input.driver
  }

  async snapshot(options: SnapshotOptions = {}): Promise<Snapshot> {
    this.#there()
    return (await import('./keeping.js')).snapshotOf(this.#source(), options)
  }

  async commit(options: CommitOptions = {}): Promise<CommittedImage> {
    this.#there()
    return (await import('./keeping.js')).commitOf(this.#source(), options)
  }

  #source(): Source {
    const { run, image, given, scratch, driver } = this.#input
    return {
      run, image, given, scratch, driver, id: this.id, name: this.name, life: this.#life,
      end: (options) => this.end(options), remove: () => this[Symbol.asyncDispose](), tell: (what) => { this.#tell(what) },
    }
  }

  /** Moves the directory of its changes away, once it has ended. For those kept on disk by the kernel's overlay. */
  async takeChanges(target: string): Promise<void> {
    await this.#life.exit
    const { rename } = await import('node:fs/promises')
    await rename(join(this.#input.scratch, 'upper'), target)
  }

  async kill(signal: string | number = 'SIGKILL'): Promise<void> {
    await this.#life.kill(signalNumber(signal))
  }

  get faults(): ContainerFaults {
    const { run, options } = this.#input
    return this.#faults ??= new ContainerFaults({
      run, id: this.id, name: this.name, storage: storageOf(options), direct: options.loopback === 'direct', freeze: (frozen) => this.#life.freeze(frozen), kill: (signal) => this.kill(signal),
    })
  }

  pause(): Promise<void> {
    return this.#life.freeze(true)
  }

  unpause(): Promise<void> {
    return this.#life.freeze(false)
  }

  stats(): Promise<ContainerStats> {
    const { run, options } = this.#input
    return readStats(run, this.id, options.network !== 'host')
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#removal ??= this.#remove()
    return this.#removal
  }

  /** Who asks for the exit wants to see it: like a child process, the container then keeps this process alive. */
  #holdProcess(): void {
    if (this.#awaited || this.#life.ended || this.#removal !== undefined) return
    this.#awaited = true
    this.#input.run.connection.request(METHOD.wait, new Writer().str(this.id).take()).catch(() => undefined)
  }

  async #remove(): Promise<void> {
    const { run, closed } = this.#input
    this.#life.close()
    try {
      if (!run.connection.lost) await run.connection.request(METHOD.remove, new Writer().str(this.id).take())
    } catch (error) {
      if (!run.connection.lost && !isGone(error)) throw error
    } finally {
      this.#sockets.close()
      for (const one of this.#reached) one.close().catch(() => undefined)
      closed()
      this.#tell({ kind: 'removed' })
    }
  }
}
