import { METHOD, type RawExit } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import type { Happening } from './events.js'
import { freeze } from './freezer.js'
import { Watch, type Ask, type Checkup } from './health.js'
import type { Health, HealthProbe, HealthStatus } from './health-types.js'
import { signalName, signalNumber } from './signals.js'
import type { Run } from './supervision.js'
import type { ExitStatus, StopOptions } from './types.js'

export interface LifeInput {
  readonly run: Run
  readonly id: string
  readonly exit: Promise<RawExit>
  /** What ends its program, when nothing else is asked for. */
  readonly stopSignal: string | number
  readonly checkup: Checkup | undefined
  readonly ask: Ask
  readonly tell: (what: Happening) => void
  /** Its check has said something. */
  readonly checked: () => void
}

/** Those that mean an end. */
const ENDING = new Set(['SIGTERM', 'SIGKILL', 'SIGINT', 'SIGQUIT'].map(signalNumber))

/** What happens to a container between its start and its end, which it may have several of, and how it is told. */
export class Life {
  readonly #input: LifeInput
  #exit: Promise<ExitStatus>
  #watch: Watch | undefined
  #startedAt: number | undefined
  #stopping = false
  #begins = false
  #ended = false
  #early: ExitStatus | undefined
  #frozen = false
  #over = false

  constructor(input: LifeInput) {
    this.#input = input
    this.#exit = this.#follow(input.exit)
  }

  get exit(): Promise<ExitStatus> {
    return this.#exit
  }

  get ended(): boolean {
    return this.#ended
  }

  get frozen(): boolean {
    return this.#frozen
  }

  /** Milliseconds since 1970. */
  get startedAt(): number | undefined {
    return this.#startedAt
  }

  get health(): Health | undefined {
    return this.#watch?.health
  }

  /** See `Watch.settled`. */
  settled(signal: AbortSignal, saw: (probe: HealthProbe) => void): Promise<HealthStatus> {
    return this.#watch?.settled(signal, saw) ?? Promise.resolve('healthy')
  }

  /** Its program runs. */
  begun(kind: 'started' | 'restarted'): void {
    const { checkup, tell, ask, checked } = this.#input
    this.#begins = true
    this.#startedAt = Date.now()
    tell({ kind })
    // It may have ended before its start was told.
    const early = this.#early
    this.#early = undefined
    if (early !== undefined) return this.#tellEnd(early)
    if (checkup === undefined) return
    // While it stands still nothing can be said.
    const asked: Ask = (...question) => (this.#frozen ? Promise.resolve(undefined) : ask(...question))
    this.#watch = new Watch(checkup, asked, (status) => { tell({ kind: 'health_status', status }) }, checked)
  }

  /** Its next one, after the end of this. */
  again(exit: Promise<RawExit>): void {
    this.#ended = this.#stopping = this.#begins = this.#frozen = false
    this.#exit = this.#follow(exit)
    this.begun('restarted')
  }

  /** The stop signal, and patience. */
  async ask({ timeout = 10_000, signal }: StopOptions): Promise<void> {
    const number = signalNumber(signal ?? this.#input.stopSignal)
    this.#stopping = !this.#ended
    if (this.#ended || timeout <= 0) return
    await this.signal(number)
    if (this.#frozen) await this.freeze(false).catch(() => undefined)
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => void (timer = setTimeout(resolve, timeout)))
    await Promise.race([this.#exit, patience])
    clearTimeout(timer)
  }

  /** Kills what did not heed it. */
  async ensureEnd(): Promise<void> {
    if (!this.#ended) await this.signal(signalNumber('SIGKILL'))
    await this.#exit
  }

  async kill(number: number): Promise<void> {
    if (!this.#ended && !this.#over) this.#input.tell({ kind: 'killed', signal: signalName(number) ?? String(number) })
    await this.signal(number)
  }

  /** Harmless for one that has ended. */
  async signal(number: number): Promise<void> {
    const { run, id } = this.#input
    if (this.#ended || this.#over) return
    await run.connection.request(METHOD.signal, new Writer().str(id).u32(0).u32(number).take()).catch(this.#unlessGone)
    // As Docker does: who is told to end shall be able to.
    if (this.#frozen && ENDING.has(number)) await this.freeze(false).catch(this.#unlessGone)
  }

  /** Stops all its processes where they are, or lets them go on. */
  async freeze(frozen: boolean): Promise<void> {
    const { run, id, tell } = this.#input
    await freeze(run.connection, run.hello.features, id, frozen)
    if (this.#frozen !== frozen) tell({ kind: frozen ? 'paused' : 'unpaused' })
    this.#frozen = frozen
  }

  /** It is being taken away: nobody signals or checks it any more. */
  close(): void {
    this.#over = true
    this.#watch?.stop()
  }

  readonly #unlessGone = (error: unknown): void => {
    if (!this.#ended && !isGone(error)) throw error
  }

  async #follow(exit: Promise<RawExit>): Promise<ExitStatus> {
    const { code, signal, oomKilled } = await exit
    this.#ended = true
    this.#watch?.stop()
    const status = { code, signal: signalName(signal), oomKilled }
    if (this.#begins) this.#tellEnd(status)
    else this.#early = status
    return status
  }

  #tellEnd({ code, signal, oomKilled }: ExitStatus): void {
    const { tell } = this.#input
    if (oomKilled) tell({ kind: 'oom' })
    tell({ kind: 'exited', code, signal })
    if (this.#stopping) tell({ kind: 'stopped' })
  }
}

/** Whether the supervisor has no such process, or no such container, any more. */
export function isGone(error: unknown): boolean {
  const details = (error as { details?: Readonly<Record<string, unknown>> }).details
  return details?.['errno'] === 'ENOENT' || details?.['errno'] === 'ESRCH'
}
