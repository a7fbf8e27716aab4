import { MayflyError, messageOf } from '../errors.js'
import type { ImageConfig } from '../images/index.js'
import type { Health, Healthcheck, HealthProbe, HealthStatus } from './health-types.js'

/** A check with all its figures. */
export interface Checkup {
  readonly command: readonly string[]
  readonly interval: number
  readonly timeout: number
  readonly startPeriod: number
  /** Undefined: steps that grow. */
  readonly startInterval: number | undefined
  readonly retries: number
}

const NANOSECONDS = 1_000_000
const DEFAULTS = { interval: 30_000, timeout: 30_000, startPeriod: 0, retries: 3 }
const FIRST_STEP = 1
const LAST_STEP = 50
const KEPT = 5
const OUTPUT = 4096

/** How a container is checked, by its options and its image; undefined when it is not. Throws ERR_MAYFLY_OPTION_INVALID. */
export function checkupOf({ Healthcheck: image }: Pick<ImageConfig, 'Healthcheck'>, own: Healthcheck = {}): Checkup | undefined {
  if (own.disable === true) return undefined
  const command = commandOf(own.test ?? image?.Test ?? [])
  if (command === undefined) return undefined
  const inMilliseconds = (value: number | undefined): number | undefined => (value === undefined || value === 0 ? undefined : value / NANOSECONDS)
  return {
    command,
    interval: own.interval ?? inMilliseconds(image?.Interval) ?? DEFAULTS.interval,
    timeout: own.timeout ?? inMilliseconds(image?.Timeout) ?? DEFAULTS.timeout,
    startPeriod: own.startPeriod ?? inMilliseconds(image?.StartPeriod) ?? DEFAULTS.startPeriod,
    // The image's own is for those who look at a clock.
    startInterval: own.startInterval,
    retries: own.retries ?? (image?.Retries === undefined || image.Retries === 0 ? DEFAULTS.retries : image.Retries),
  }
}

function commandOf(test: readonly string[] | string): readonly string[] | undefined {
  if (typeof test === 'string') return ['/bin/sh', '-c', test]
  const [kind, ...words] = test
  if (kind === undefined || kind === 'NONE') return undefined
  if (kind === 'CMD-SHELL') return ['/bin/sh', '-c', ...words]
  return kind === 'CMD' ? words : test
}

/** Runs the command inside: its exit code, and what it printed; nothing while it cannot be asked. */
export type Ask = (command: readonly string[], timeout: number) => Promise<{ readonly exitCode: number; readonly output: string } | undefined>

/** Checks one life of a container until `stop`. Keeps nobody alive. */
export class Watch {
  readonly #checkup: Checkup
  readonly #ask: Ask
  readonly #changed: (status: HealthStatus) => void
  readonly #checked: () => void
  readonly #log: HealthProbe[] = []
  readonly #waiting = new Set<() => void>()
  readonly #began = Date.now()
  #status: HealthStatus = 'starting'
  #streak = 0
  #counted = 0
  #step = FIRST_STEP
  #timer: NodeJS.Timeout | undefined
  #over = false

  constructor(checkup: Checkup, ask: Ask, changed: (status: HealthStatus) => void, checked: () => void = () => undefined) {
    this.#checkup = checkup
    this.#ask = ask
    this.#changed = changed
    this.#checked = checked
    this.#schedule(checkup.startInterval ?? 0)
  }

  get health(): Health {
    return { status: this.#status, failingStreak: this.#streak, log: [...this.#log] }
  }

  get command(): readonly string[] {
    return this.#checkup.command
  }

  /** Settles when it is not `starting` any more, or is watched no longer. */
  async settled(signal: AbortSignal, saw: (probe: HealthProbe) => void): Promise<HealthStatus> {
    while (this.#status === 'starting' && !this.#over && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const go = (): void => {
          this.#waiting.delete(go)
          signal.removeEventListener('abort', go)
          resolve()
        }
        this.#waiting.add(go)
        signal.addEventListener('abort', go, { once: true })
      })
      const last = this.#log.at(-1)
      if (last !== undefined) saw(last)
    }
    return this.#status
  }

  stop(): void {
    this.#over = true
    clearTimeout(this.#timer)
    this.#tell()
  }

  #schedule(milliseconds: number): void {
    if (this.#over) return
    this.#timer = setTimeout(() => { void this.#check() }, Math.min(milliseconds, 2 ** 31 - 1))
    this.#timer.unref()
  }

  async #check(): Promise<void> {
    const start = new Date()
    const answer = await this.#ask(this.#checkup.command, this.#checkup.timeout)
      .catch((error: unknown) => ({ exitCode: -1, output: messageOf(error) }))
    if (this.#over) return
    if (answer === undefined) return this.#schedule(this.#pause())
    const { exitCode, output } = answer
    this.#log.push({ start, end: new Date(), exitCode, output: output.slice(0, OUTPUT) })
    if (this.#log.length > KEPT) this.#log.shift()
    if (exitCode === 0) this.#well()
    else this.#failed(start.getTime())
    this.#tell()
    this.#schedule(this.#pause())
  }

  #well(): void {
    this.#streak = 0
    this.#become('healthy')
  }

  /** While it starts it is asked more often than once in an interval, and more failures mean no more. */
  #failed(at: number): void {
    const { startPeriod, interval, retries } = this.#checkup
    if (this.#status !== 'starting') this.#streak += 1
    else if (at - this.#began >= startPeriod + interval * (this.#counted + 1)) {
      this.#counted += 1
      this.#streak = this.#counted
    }
    if (this.#streak >= retries) this.#become('unhealthy')
  }

  #pause(): number {
    if (this.#status !== 'starting') return this.#checkup.interval
    if (this.#checkup.startInterval !== undefined) return this.#checkup.startInterval
    const step = this.#step
    this.#step = Math.min(LAST_STEP, step * 2)
    return Math.min(step, this.#checkup.interval)
  }

  #become(status: HealthStatus): void {
    if (this.#status === status) return
    this.#status = status
    this.#changed(status)
  }

  #tell(): void {
    this.#checked()
    for (const go of [...this.#waiting]) go()
  }
}

/** A container that tells of its checks. */
export interface Checked {
  /** Called after each of them, and when there are no more. */
  readonly checks: Set<() => void>
}

/** Tells what every check of the container says, until what is answered is called. */
export function followHealth(container: { readonly health: Health | undefined } & Partial<Checked>, tell: (health: Health) => void): () => void {
  const told = (): void => { if (container.health !== undefined) tell(container.health) }
  container.checks?.add(told)
  return () => void container.checks?.delete(told)
}

/** Throws ERR_MAYFLY_OPTION_INVALID for figures without anything to ask. */
export function checkHealthcheck(image: string, config: Pick<ImageConfig, 'Healthcheck'>, own: Healthcheck | undefined): void {
  if (own === undefined || own.disable === true || checkupOf(config, own) !== undefined) return
  const { test } = own
  if (test !== undefined && typeof test !== 'string' && test[0] === 'NONE') return
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `healthcheck without a test: ${image} has none of its own`, {
    hint: 'Give one: healthcheck: { test: [\'pg_isready\'] }.', details: { option: 'healthcheck' },
  })
}
