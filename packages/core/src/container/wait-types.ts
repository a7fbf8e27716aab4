import type { HealthStatus } from './health-types.js'
import type { Container } from './types.js'

/** What a strategy may look at. */
export interface WaitContext {
  readonly container: Container
  /** Ports that `ports` names. */
  readonly ports: readonly number[]
  /** Ports the image EXPOSEs. */
  readonly exposed: readonly number[]
  /** Aborted when the container ends, the time is up or the start is cancelled. */
  readonly signal: AbortSignal
  /** Settles with the status of its health check once that is not `starting`; undefined when it has none. */
  readonly healthy: (() => Promise<HealthStatus>) | undefined
  /** Resolves when something inside listens on the TCP port. `signal` ends the wait earlier. */
  listening(port: number, signal?: AbortSignal): Promise<void>
  /** Whether something exists inside at an absolute path. */
  exists(path: string): Promise<boolean>
  /** Paths of the unix sockets that are listened at inside. */
  sockets(): Promise<readonly string[]>
  /** What was seen instead of what is waited for; the last of it stands in the error. */
  saw(what: string): void
}

/** When a container counts as ready. Made by `wait.…`. */
export interface WaitStrategy {
  /** What is waited for, as it reads after "waiting for". */
  readonly description: string
  /** Whether the container may end while this waits (`wait.exit`). */
  readonly acceptsExit?: boolean | undefined
  ready(context: WaitContext): Promise<void>
}

/** A strategy of `wait.…`. */
export interface Wait extends WaitStrategy {
  /** The same with a limit of its own, in milliseconds, besides that of the start: ERR_MAYFLY_TIMEOUT. */
  within(milliseconds: number): Wait
}

export interface WaitOnOptions {
  /** Milliseconds for which what was found has to stay as it is. Default 0. */
  readonly window?: number | undefined
  /** Turns it round: waits until none of them is there. Default false. */
  readonly reverse?: boolean | undefined
  /** Whether certificates are checked. Default false. */
  readonly strictSSL?: boolean | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

export interface HttpWaitOptions {
  /** Default: the first of `ports`, else the first EXPOSEd port. */
  readonly port?: number | undefined
  /** Default any of 200–399. */
  readonly status?: number | readonly number[] | ((status: number) => boolean) | undefined
  readonly method?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: RegExp | string | ((body: string) => boolean) | undefined
  /** Headers of the answer, whole or by pattern. */
  readonly answer?: Readonly<Record<string, string | RegExp>> | undefined
  /** Sent with the request. */
  readonly send?: string | undefined
  /** By TLS: with this machine's authorities, with one's own, or whoever answers. Default false. */
  readonly tls?: boolean | { readonly ca?: string | undefined; readonly servername?: string | undefined; readonly insecure?: boolean | undefined } | undefined
  /** Milliseconds of silence after which a request is given up and made again. Default 10 000. */
  readonly patience?: number | undefined
  readonly auth?: { readonly user: string; readonly password: string } | undefined
}
