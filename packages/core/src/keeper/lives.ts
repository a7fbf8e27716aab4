import { isMayflyError, messageOf } from '../errors.js'
import type { RunningContainer } from '../container/handle.js'
import { dieAttributes } from '../container/journal-words.js'
import { keptDirectory, type KeptContainer } from '../container/kept.js'
import { keepLog } from '../container/kept-logs.js'
import type { NamedNetworks } from '../container/named.js'
import { restartDelay } from '../container/restart.js'
import { signalNumber } from '../container/signals.js'
import { startImage } from '../container/start.js'
import type { RunOptions } from '../container/types.js'
import { isBusy, type Entry, type Session } from './entry.js'
import { imageOf } from './made.js'
import type { Records } from './records.js'
import type { EndRequest } from './types.js'

const NOTHING = { description: 'nothing', acceptsExit: true, ready: () => Promise.resolve() }
const STOP_TIMEOUT = 10_000
/** As shells have them. */
const CODES: Readonly<Record<string, number>> = { ERR_MAYFLY_COMMAND_NOT_EXECUTABLE: 126, ERR_MAYFLY_COMMAND_NOT_FOUND: 127 }

/** The lives of the containers that are kept: each start is from what the last one left on disk, by whoever asks or by the policy. */
export class Lives {
  readonly #records: Records
  readonly #networks: NamedNetworks
  readonly #idle: () => void

  /** `idle` is called when something has ended. */
  constructor(records: Records, networks: NamedNetworks, idle: () => void) {
    this.#records = records
    this.#networks = networks
    this.#idle = idle
  }

  /** Harmless for one that runs. */
  async start(entry: Entry, session?: Session, options: Pick<RunOptions, 'tty'> = {}): Promise<void> {
    if (entry.container !== undefined && entry.record.ended === undefined) return
    await entry.over
    this.cancel(entry)
    entry.waited = 0
    await this.#start(entry, { stopped: false, restarts: 0 }, session, options)
  }

  /** Harmless for one that does not run. */
  async stop(entry: Entry, { timeout, signal }: EndRequest = {}): Promise<void> {
    if (!isBusy(entry)) return
    this.cancel(entry)
    await entry.starting?.catch(() => undefined)
    await this.#records.write(entry, { stopped: true, restarting: undefined })
    await entry.container?.end({ timeout: timeout ?? entry.record.stopTimeout ?? STOP_TIMEOUT, signal })
    await entry.over
    this.#records.tell(entry, 'stop')
  }

  /** The start that its policy has waiting does not come. */
  cancel(entry: Entry): void {
    clearTimeout(entry.timer)
    entry.timer = undefined
  }

  async discard(entry: Entry): Promise<void> {
    this.cancel(entry)
    await this.#records.discard(entry)
    this.#idle()
  }

  /** Its client let go of it, or is gone. */
  async #attend(entry: Entry, session: Session): Promise<void> {
    await session.gone
    if (!session.released && entry.session === session && entry.record.ended === undefined) await this.stop(entry, { timeout: 0 })
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
      await this.#records.write(entry, { ...patch, life, startedAt, ended: undefined, restarting: undefined, driver: container.driver, health: container.health, label: { ...record.label, ...container.label } })
      entry.over = this.#over(entry, startedAt)
      this.#records.tell(entry, 'start')
      void this.#health(entry, container)
      if (session !== undefined) void this.#attend(entry, session).catch(() => undefined)
    } catch (error) {
      const code = isMayflyError(error) ? CODES[error.code] ?? 128 : 128
      await this.#records.write(entry, { ...patch, restarting: undefined, ended: { at: Date.now(), code, oomKilled: false, error: messageOf(error) } })
      this.#idle()
      throw error
    }
  }

  /** Writes down what its checks say, until it is removed. */
  async #health(entry: Entry, container: RunningContainer): Promise<void> {
    if (container.health === undefined) return
    for await (const event of container.events()) {
      if (event.kind !== 'health_status') continue
      await this.#records.write(entry, { health: container.health }).catch(() => undefined)
      this.#records.tell(entry, `health_status: ${event.status}`)
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
    if (oomKilled) this.#records.tell(entry, 'oom')
    this.#records.tell(entry, 'die', dieAttributes(code, signal, at - startedAt), signal)
    await this.#records.write(entry, { ended: end, ...(delay === undefined ? {} : { restarting: process.pid }) })
    // What a client has not read yet is lost with it.
    if (session !== undefined) await session.gone
    await container[Symbol.asyncDispose]().catch(() => undefined)
    entry.container = undefined
    if (record.remove) await this.discard(entry).catch(() => undefined)
    else if (delay !== undefined && !entry.record.stopped) this.#again(entry, delay)
    this.#idle()
  }

  /** As its policy has it, after so many milliseconds. */
  #again(entry: Entry, delay: number): void {
    entry.waited = delay
    entry.timer = setTimeout(() => {
      entry.timer = undefined
      const { restarts } = entry.record
      this.#start(entry, { restarts: restarts + 1 }).catch(() => {
        const next = restartDelay(entry.record.restart, { code: entry.record.ended?.code ?? 128, restarts: restarts + 1, lasted: 0, waited: delay })
        if (next !== undefined && !entry.record.stopped) void this.#records.write(entry, { restarting: process.pid }).then(() => this.#again(entry, next))
        else this.#idle()
      })
    }, delay)
  }
}
