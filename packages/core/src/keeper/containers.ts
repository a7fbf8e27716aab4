import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

import { leaseForRun, openStore } from '../images/index.js'
import { MayflyError } from '../errors.js'
import { commitChanges, committedAs } from '../container/commit.js'
import { checkForm } from '../container/form.js'
import { settingsOf } from '../container/settings.js'
import { obtainImage } from '../container/image.js'
import { keptDirectory } from '../container/kept.js'
import { labelOf } from '../container/label.js'
import type { NamedNetworks } from '../container/named.js'
import { openFiles, type OpenFiles } from '../container/open-files.js'
import { signalNumber } from '../container/signals.js'
import { limitsOf, withoutLimits } from '../sandbox/index.js'
import { keepVolume } from '../container/volumes.js'
import type { CommitOptions, CommittedImage, Container, ExitStatus, RunOptions } from '../container/types.js'
import { before, imageOf, NOWHERE, notRunning, volumesOf } from './made.js'
import { entryOf, isBusy, type Entry, type Session } from './entry.js'
import { Lives } from './lives.js'
import { Records } from './records.js'
import type { EndRequest, KeptRequest, UpdateRequest } from './types.js'

/** The containers of the background run, those that ended included, and what may be asked of them. */
export class KeptContainers {
  readonly #records = new Records()
  readonly #networks: NamedNetworks
  readonly #lives: Lives

  /** `idle` is called when something has ended. */
  constructor(networks: NamedNetworks, idle: () => void) {
    this.#networks = networks
    this.#lives = new Lives(this.#records, networks, idle)
  }

  /** See `Records.load`. */
  load(): Promise<void> {
    return this.#records.load()
  }

  /** Whether some run, or will. */
  get busy(): boolean {
    return this.#records.busy
  }

  has(id: string): boolean {
    return this.#records.find(id) !== undefined
  }

  /** See `Records.running`. */
  running(which: string): Container {
    return this.#records.running(which)
  }

  /** Throws what stands in the way of a start, as far as that can be known before it; ERR_MAYFLY_NAME_IN_USE. */
  async create({ image, options, networks = [], remove = false, restart = { name: 'no' }, stopTimeout }: KeptRequest): Promise<string> {
    await checkForm(options)
    for (const name of networks) this.#networks.find(name)
    const found = await obtainImage(image, options)
    const id = randomBytes(32).toString('hex')
    const name = options.name ?? `mayfly-${id.slice(0, 12)}`
    this.#records.claim(name)
    const createdAt = Date.now()
    const entry = entryOf({
      version: 1, id, name, image, digest: found.digest, options: { ...options, name }, networks, remove, restart, stopTimeout, createdAt,
      label: before(labelOf({ name, image: found, options, address: undefined, published: [], inside: NOWHERE, volumes: volumesOf(options), networks: typeof options.network === 'string' ? [options.network] : networks, createdAt })),
      life: 0, stopped: false, restarts: 0,
    })
    await this.#records.add(entry, async () => {
      for (const volume of volumesOf(options)) await keepVolume(volume)
      await leaseForRun((await openStore()).home, keptDirectory(id), found)
    })
    this.#records.tell(entry, 'create')
    return id
  }

  /** Creates and starts one; a start that fails leaves it there, unless it was to go with its end. */
  async run(request: KeptRequest, session?: Session): Promise<string> {
    const id = await this.create(request)
    try {
      await this.start(id, session)
    } catch (error) {
      const entry = this.#records.find(id)
      if (entry !== undefined && request.remove === true) await this.#lives.discard(entry)
      throw error
    }
    return id
  }

  /** Harmless for one that runs. */
  async start(id: string, session?: Session, options: Pick<RunOptions, 'tty'> = {}): Promise<void> {
    await this.#lives.start(this.#records.get(id), session, options)
  }

  /** How it ends; for those who attend to it. */
  async exit(id: string): Promise<ExitStatus | undefined> {
    return await this.#records.find(id)?.container?.ending
  }

  /** Harmless for one that does not run. */
  async stop(id: string, options: EndRequest = {}): Promise<void> {
    await this.#lives.stop(this.#records.get(id), options)
  }

  async restart(id: string, options: EndRequest = {}): Promise<void> {
    await this.stop(id, options)
    await this.start(id)
    this.#records.tell(this.#records.get(id), 'restart')
  }

  /** Throws ERR_MAYFLY_NOT_RUNNING. */
  async kill(id: string, signal: string): Promise<void> {
    const entry = this.#records.get(id)
    const container = entry.container
    if (container === undefined) throw notRunning(entry)
    const number = signalNumber(signal)
    // Who kills it does not want it back.
    if (number === signalNumber('SIGKILL') || number === entry.record.label.stopSignal) await this.#records.write(entry, { stopped: true })
    this.#records.tell(entry, 'kill', { signal: String(number) })
    await container.kill(signal)
  }

  async pause(id: string, still: boolean): Promise<void> {
    const entry = this.#records.get(id)
    if (entry.container === undefined) throw notRunning(entry)
    await (still ? entry.container.pause() : entry.container.unpause())
    this.#records.tell(entry, still ? 'pause' : 'unpause')
  }

  async rename(id: string, name: string): Promise<void> {
    const entry = this.#records.get(id)
    await checkForm({ name })
    if (name === entry.record.name) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `The container is called ${name} already`)
    this.#records.claim(name)
    const before = entry.record.name
    await entry.container?.rename(name)
    await this.#records.write(entry, { name, options: { ...entry.record.options, name }, label: { ...entry.record.label, name } })
    this.#records.tell(entry, 'rename', { oldName: before })
  }

  /** Its restart policy, its limits, or both; from now on and in every later life. See `Container.update`. */
  async update(id: string, { restart, limits }: UpdateRequest): Promise<void> {
    const entry = this.#records.get(id)
    if (limits !== undefined) {
      const { mergeLimits } = await import('../container/limits.js')
      const all = await mergeLimits(limitsOf(entry.record.options), limits)
      await entry.container?.update(limits)
      await this.#records.write(entry, { options: { ...withoutLimits(entry.record.options), ...all } })
    }
    if (restart !== undefined) await this.#records.write(entry, { restart })
    this.#records.tell(entry, 'update')
  }

  async commit(id: string, options: CommitOptions): Promise<CommittedImage> {
    const entry = this.#records.get(id)
    const made = entry.container === undefined ? await this.#commitKept(entry, options) : await entry.container.commit(options)
    const { imageId, reference, message } = committedAs(made, options)
    this.#records.tell(entry, 'commit', { comment: message, imageID: imageId, imageRef: reference })
    return made
  }

  async #commitKept({ record }: Entry, options: CommitOptions): Promise<CommittedImage> {
    const { id } = record
    if (record.driver === 'copy') {
      throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `What ${record.name} changed is not known: its files are a copy of the image's`)
    }
    const image = await imageOf(record)
    return commitChanges({ image, id, upper: join(keptDirectory(id), 'upper'), config: settingsOf(image, record.options) }, options)
  }

  /** Opens the files of one that does not run until `gone`; whoever starts it meanwhile waits. Nothing for one that runs. */
  async files(id: string, gone: Promise<void>): Promise<Pick<OpenFiles, 'id' | 'run'> | undefined> {
    const entry = this.#records.get(id)
    await entry.starting?.catch(() => undefined)
    if (entry.container !== undefined && entry.record.ended === undefined) return undefined
    await entry.over
    const files = await openFiles(await imageOf(entry.record), entry.record)
    entry.over = gone.then(async () => { await files[Symbol.asyncDispose]() })
    return { id: files.id, run: files.run }
  }

  /** Throws ERR_MAYFLY_CONTAINER_RUNNING unless `force` says that it may be killed. */
  async remove(id: string, force: boolean): Promise<void> {
    const entry = this.#records.get(id)
    if (isBusy(entry)) {
      if (!force) {
        throw new MayflyError('ERR_MAYFLY_CONTAINER_RUNNING', `Container ${entry.record.name} runs`, { hint: `Stop it first, or have it killed: mayfly rm -f ${entry.record.name}` })
      }
      await this.stop(id, { timeout: 0 })
    }
    await entry.over
    if (this.#records.find(id) !== undefined) await this.#lives.discard(entry)
  }
}
