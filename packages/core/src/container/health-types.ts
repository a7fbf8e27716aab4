/** `starting` until it was well once, or has failed for too long. */
export type HealthStatus = 'starting' | 'healthy' | 'unhealthy'

/** How a container is asked whether it is well. What is left out comes from the image, then from Docker's defaults. */
export interface Healthcheck {
  /**
   * A command: a list of words, which needs no shell in the image, or text for /bin/sh -c; Docker's forms `['CMD', …]`,
   * `['CMD-SHELL', text]` and `['NONE']` too. Default: the image's.
   */
  readonly test?: readonly string[] | string | undefined
  /** Milliseconds between checks. Default 30 000. */
  readonly interval?: number | undefined
  /** Milliseconds after which a check has failed. Default 30 000. */
  readonly timeout?: number | undefined
  /** Milliseconds after the start in which a failure does not count. Default 0. */
  readonly startPeriod?: number | undefined
  /** Milliseconds between checks until it is well for the first time. Default: steps that grow from 1 to 50. */
  readonly startInterval?: number | undefined
  /** So many failures in a row, one in every interval, make it unhealthy. Default 3. */
  readonly retries?: number | undefined
  /** No checks, whatever the image says. Default false. */
  readonly disable?: boolean | undefined
}

export interface HealthProbe {
  readonly start: Date
  readonly end: Date
  /** -1 when it took longer than its timeout. */
  readonly exitCode: number
  /** What it printed, the first 4096 characters. */
  readonly output: string
}

export interface Health {
  readonly status: HealthStatus
  /** Failures since it was well last. */
  readonly failingStreak: number
  /** The last five checks, oldest first. */
  readonly log: readonly HealthProbe[]
}
