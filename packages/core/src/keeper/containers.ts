import { randomBytes } from 'node:crypto'

import { leaseForRun, openStore } from '../images/index.js'
import { defaultHome } from '../images/store.js'
import { isMayflyError, MayflyError } from '../errors.js'
import { commitChanges } from '../container/commit.js'
import { checkForm } from '../container/form.js'
import { settingsOf } from '../container/settings.js'
import { obtainImage } from '../container/image.js'
import { discardKept, keptDirectory, listKept, writeKept, type KeptContainer } from '../container/kept.js'
import { noteEvent } from '../container/journal.js'
import { dieAttributes } from '../container/journal-words.js'
import { keepLog } from '../container/kept-logs.js'
import { labelOf } from '../container/label.js'
import type { NamedNetworks } from '../container/named.js'
import { openFiles, type OpenFiles } from '../container/open-files.js'
import { restartDelay } from '../container/restart.js'
import { signalNumber } from '../container/signals.js'
import { startImage } from '../container/start.js'
import { keepVolume } from '../container/volumes.js'
import type { RunningContainer } from '../container/handle.js'
import type { CommitOptions, CommittedImage, Container, ExitStatus, RunOptions } from '../container/types.js'
import { join, resolve } from 'node:path'
import { before, imageOf, NOWHERE, notRunning, volumesOf } from './made.js'
import { entryOf, isBusy, type Entry, type Session } from './entry.js'
import type { EndRequest, KeptRequest } from './types.js'

const NOTHING = { description: 'nothing', acceptsExit: true, ready: () => Promise.resolve() }
const STOP_TIMEOUT = 10_000
/** As shells have them. */
const CODES: Readonly<Record<string, number>> = { ERR_MAYFLY_COMMAND_NOT_EXECUTABLE: 126, ERR_MAYFLY_COMMAND_NOT_FOUND: 127 }

/** The containers of the background run, those that ended included: what it knows of them is on disk first. */
export class KeptContainers {
  readonly #entries = new Map<string, Entry>()
  readonly #networks: NamedNetworks
  readonly #idle: () => void

  /** `idle` is called when something has ended. */
  constructor(networks: NamedNetworks, idle: () => void) {
    this.#networks = networks
    this.#idle = idle
  }

  /** Takes up what earlier keepers left. One that was killed wrote down no ends. */
  async load(): Promise<void> {
    for (const record of await listKept()) {
      const entry = entryOf(record)
      this.#entries.set(record.id, entry)
      const lost = record.startedAt !== undefined && record.ended === undefined
      if (lost || record.restarting !== undefined) {
        await this.#write(entry, { restarting: undefined, ...(lost ? { ended: { at: Date.now(), code: 137, signal: 'SIGKILL', oomKilled: false } } : {}) })
      }
      if (lost && record.remove) await this.#discard(entry)
    }
  }

  /** Whether some run, or will. */
  get busy(): boolean {
    return [...this.#entries.values()].some(isBusy)
  }

  has(id: string): boolean {
    return this.#entries.has(id)
  }

  /** Throws ERR_MAYFLY_CONTAINER_NOT_FOUND, ERR_MAYFLY_NOT_RUNNING. */
  running(which: string): Container {
    const all = [...this.#entries.values()]
    const found = all.find(({ record }) => record.id === which || record.name === which) ?? all.find(({ record }) => which.length >= 4 && record.id.startsWith(which))
    if (found?.container !== undefined) return found.container
    if (found !== undefined) throw notRunning(found)
    throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', `No such detached container: ${which}`, {
      hint: 'Networks made on the command line connect containers of the command line.',
    })
  }

  /** Throws what stands in the way of a start, as far as that can be known before it; ERR_MAYFLY_NAME_IN_USE. */
  async create({ image, options, networks = [], remove = false, restart = { name: 'no' }, stopTimeout }: KeptRequest): Promise<string> {
    await checkForm(options)
    for (const name of networks) this.#networks.find(name)
    const found = await obtainImage(image, options)
    const id = randomBytes(32).toString('hex')
    const name = options.name ?? `mayfly-${id.slice(0, 12)}`
    this.#claim(name)
    const createdAt = Date.now()
    const entry = entryOf({
      version: 1, id, name, image, digest: found.digest, options: { ...options, name }, networks, remove, restart, stopTimeout, createdAt,
      label: before(labelOf({ name, image: found, options, address: undefined, published: [], inside: NOWHERE, volumes: volumesOf(options), networks: typeof options.network === 'string' ? [options.network] : networks, createdAt })),
      life: 0, stopped: false, restarts: 0,
    })
    // Before anything waits: nobody else gets the name.
    this.#entries.set(id, entry)
    try {
      await writeKept(entry.record)
      for (const volume of volumesOf(options)) await keepVolume(volume)
      await leaseForRun((await openStore()).home, keptDirectory(id), found)
    } catch (error) {
      this.#entries.delete(id)
      throw error
    }
    this.#tell(entry, 'create')
    return id
  }

  /** Creates and starts one; a start that fails leaves it there, unless it was to go with its end. */
  async run(request: KeptRequest, session?: Session): Promise<string> {
    const id = await this.create(request)
    try {
      await this.start(id, session)
    } catch (error) {
      const entry = this.#entries.get(id)
      if (entry !== undefined && request.remove === true) await this.#discard(entry)
      throw error
    }
    return id
  }

  /** Harmless for one that runs. */
  async start(id: string, session?: Session, options: Pick<RunOptions, 'tty'> = {}): Promise<void> {
    const entry = this.#entry(id)
    if (entry.container !== undefined && entry.record.ended === undefined) return
    await entry.over
    this.#cancel(entry)
    entry.waited = 0
    await this.#start(entry, { stopped: false, restarts: 0 }, session, options)
  }

  /** How it ends; for those who attend to it. */
  async exit(id: string): Promise<ExitStatus | undefined> {
    return await this.#entries.get(id)?.container?.ending
  }

  /** Harmless for one that does not run. */
  async stop(id: string, { timeout, signal }: EndRequest = {}): Promise<void> {
    const entry = this.#entry(id)
    if (!isBusy(entry)) return
    this.#cancel(entry)
    await entry.starting?.catch(() => undefined)
    await this.#write(entry, { stopped: true, restarting: undefined })
    await entry.container?.end({ timeout: timeout ?? entry.record.stopTimeout ?? STOP_TIMEOUT, signal })
    await entry.over
    this.#tell(entry, 'stop')
  }

  async restart(id: string, options: EndRequest = {}): Promise<void> {
    await this.stop(id, options)
    await this.start(id)
    this.#tell(this.#entry(id), 'restart')
  }

  /** Throws ERR_MAYFLY_NOT_RUNNING. */
  async kill(id: string, signal: string): Promise<void> {
    const entry = this.#entry(id)
    const container = entry.container
    if (container === undefined) throw notRunning(entry)
    const number = signalNumber(signal)
    // Who kills it does not want it back.
    if (number === signalNumber('SIGKILL') || number === entry.record.label.stopSignal) await this.#write(entry, { stopped: true })
    this.#tell(entry, 'kill', { signal: String(number) })
    await container.kill(signal)
  }

  async pause(id: string, still: boolean): Promise<void> {
    const entry = this.#entry(id)
    if (entry.container === undefined) throw notRunning(entry)
    await (still ? entry.container.pause() : entry.container.unpause())
    this.#tell(entry, still ? 'pause' : 'unpause')
  }

  async rename(id: string, name: string): Promise<void> {
    const entry = this.#entry(id)
    await checkForm({ name })
    if (name === entry.record.name) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `The container is called ${name} already`)
    this.#claim(name)
    const before = entry.record.name
    await entry.container?.rename(name)
    await this.#write(entry, { name, options: { ...entry.record.options, name }, label: { ...entry.record.label, name } })
    this.#tell(entry, 'rename', { oldName: before })
  }

  async update(id: string, patch: Pick<KeptContainer, 'restart'>): Promise<void> {
    await this.#write(this.#entry(id), patch)
  }

  async commit(id: string, options: CommitOptions): Promise<CommittedImage> {
    const entry = this.#entry(id)
    if (entry.container !== undefined) return entry.container.commit(options)
    const { record } = entry
    if (record.driver === 'copy') {
      throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `What ${record.name} changed is not known: its files are a copy of the image's`)
    }
    const image = await imageOf(record)
    return commitChanges({ image, id, upper: join(keptDirectory(id), 'upper'), config: settingsOf(image, record.options) }, options)
  }

  /** Opens the files of one that does not run until `gone`; whoever starts it meanwhile waits. Nothing for one that runs. */
  async files(id: string, gone: Promise<void>): Promise<Pick<OpenFiles, 'id' | 'run'> | undefined> {
    const entry = this.#entry(id)
    await entry.starting?.catch(() => undefined)
    if (entry.container !== undefined && entry.record.ended === undefined) return undefined
    await entry.over
    const files = await openFiles(await imageOf(entry.record), entry.record)
    entry.over = gone.then(async () => { await files[Symbol.asyncDispose]() })
    return { id: files.id, run: files.run }
  }

  /** Throws ERR_MAYFLY_CONTAINER_RUNNING unless `force` says that it may be killed. */
  async remove(id: string, force: boolean): Promise<void> {
    const entry = this.#entry(id)
    if (isBusy(entry)) {
      if (!force) {
        throw new MayflyError('ERR_MAYFLY_CONTAINER_RUNNING', `Container ${entry.record.name} runs`, { hint: `Stop it first, or have it killed: mayfly rm -f ${entry.record.name}` })
      }
      await this.stop(id, { timeout: 0 })
    }
    await entry.over
    if (this.#entries.has(id)) await this.#discard(entry)
  }

  /** Its client let go of it, or is gone. */
  async #attend(entry: Entry, session: Session): Promise<void> {
    await session.gone
    if (!session.released && entry.session === session && entry.record.ended === undefined) await this.stop(entry.record.id, { timeout: 0 })
  }

  async #start(entry: Entry, patch: Partial<KeptContainer>, session?: Session, options: Pick<RunOptions, 'tty'> = {}): Promise<void> {
    entry.starting ??= entry.over.then(() => this.#begin(entry, patch, session, options)).finally(() => { entry.starting = undefined })
    await entry.starting
  }

  async #begin(entry: Entry, patch: Partial<KeptContainer>, session: Session | undefined, options: Pick<RunOptions, 'tty'>): Promise<void> {
    const { record } = entry
    const life = record.life + 1
    const networks = record.networks.map((name) => this.#networks.find(name))
    try {
      const container = await startImage(await imageOf(record), {
        ...record.options, ...options, ready: NOTHING, ...(session === undefined ? {} : { hold: true }), ...(networks.length === 0 ? {} : { network: networks }),
      }, { id: record.id, directory: keptDirectory(record.id), driver: record.driver, label: { createdAt: record.createdAt, life } })
      entry.container = container
      entry.session = session
      const startedAt = Date.now()
      await this.#write(entry, { ...patch, life, startedAt, ended: undefined, restarting: undefined, driver: container.driver, health: container.health, label: { ...record.label, ...container.label } })
      entry.over = this.#over(entry, startedAt)
      this.#tell(entry, 'start')
      void this.#health(entry, container)
      if (session !== undefined) void this.#attend(entry, session).catch(() => undefined)
    } catch (error) {
      const code = isMayflyError(error) ? CODES[error.code] ?? 128 : 128
      await this.#write(entry, { ...patch, restarting: undefined, ended: { at: Date.now(), code, oomKilled: false, error: error instanceof Error ? error.message : String(error) } })
      this.#idle()
      throw error
    }
  }

  /** Writes down what its checks say, until it is removed. */
  async #health(entry: Entry, container: RunningContainer): Promise<void> {
    if (container.health === undefined) return
    for await (const event of container.events()) {
      if (event.kind !== 'health_status') continue
      await this.#write(entry, { health: container.health }).catch(() => undefined)
      this.#tell(entry, `health_status: ${event.status}`)
    }
  }

  /** Writes down the end of a life, then takes what is left of it away. */
  async #over(entry: Entry, startedAt: number): Promise<void> {
    const { container, session } = entry
    if (container === undefined) return
    const { code, signal, oomKilled } = await container.ending
    const at = Date.now()
    const { id, life } = entry.record
    // Who shares processes with others may leave its output open.
    await keepLog(id, life, container.records({ follow: entry.record.options.pid === undefined })).catch(() => undefined)
    const end = { at, code: signal === undefined ? code : 128 + signalNumber(signal), signal, oomKilled }
    const { record } = entry
    const delay = record.stopped || record.remove ? undefined : restartDelay(record.restart, { code: end.code, restarts: record.restarts, lasted: at - startedAt, waited: entry.waited })
    if (oomKilled) this.#tell(entry, 'oom')
    this.#tell(entry, 'die', dieAttributes(code, signal, at - startedAt), signal)
    await this.#write(entry, { ended: end, ...(delay === undefined ? {} : { restarting: process.pid }) })
    // What a client has not read yet is lost with it.
    if (session !== undefined) await session.gone
    await container[Symbol.asyncDispose]().catch(() => undefined)
    entry.container = undefined
    if (record.remove) await this.#discard(entry).catch(() => undefined)
    else if (delay !== undefined && !entry.record.stopped) this.#again(entry, delay)
    this.#idle()
  }

  #again(entry: Entry, delay: number): void {
    entry.waited = delay
    entry.timer = setTimeout(() => {
      entry.timer = undefined
      const { restarts } = entry.record
      this.#start(entry, { restarts: restarts + 1 }).catch(() => {
        const next = restartDelay(entry.record.restart, { code: entry.record.ended?.code ?? 128, restarts: restarts + 1, lasted: 0, waited: delay })
        if (next !== undefined && !entry.record.stopped) void this.#write(entry, { restarting: process.pid }).then(() => this.#again(entry, next))
        else this.#idle()
      })
    }, delay)
  }

  #cancel(entry: Entry): void {
    clearTimeout(entry.timer)
    entry.timer = undefined
  }

  async #write(entry: Entry, patch: Partial<KeptContainer>): Promise<void> {
    entry.record = { ...entry.record, ...patch }
    await this.#alone(entry, async () => { if (this.#entries.has(entry.record.id)) await writeKept(entry.record) })
  }

  #tell({ record }: Entry, action: string, attributes: Readonly<Record<string, string>> = {}, signal?: string): void {
    const { id, name, image, label } = record
    noteEvent(resolve(defaultHome()), { type: 'container', action, id, time: Date.now(), attributes: { ...label.labels, image, name, ...attributes }, signal })
  }

  #alone(entry: Entry, work: () => Promise<void>): Promise<void> {
    const mine = entry.writing.then(work)
    entry.writing = mine.catch(() => undefined)
    return mine
  }

  async #discard(entry: Entry): Promise<void> {
    this.#cancel(entry)
    this.#entries.delete(entry.record.id)
    await this.#alone(entry, () => discardKept(entry.record.id))
    this.#tell(entry, 'destroy')
    this.#idle()
  }

  #claim(name: string): void {
    const other = [...this.#entries.values()].find(({ record }) => record.name === name)
    if (other === undefined) return
    throw new MayflyError('ERR_MAYFLY_NAME_IN_USE', `The container name "${name}" is in use by ${other.record.id.slice(0, 12)}`, {
      hint: `Remove or rename that one first: mayfly rm ${name}`,
    })
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id)
    if (entry !== undefined) return entry
    throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', `No such container: ${id}`)
  }
}
