import type { Readable, Writable } from 'node:stream'

import type { TerminalSize } from '../sandbox/options.js'

export interface ExecOptions {
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly user?: string | undefined
  readonly cwd?: string | undefined
  /** Sent to the command's standard input, which is then closed. Default: it has none; a process of `spawn` has it open. */
  readonly stdin?: string | Uint8Array | Readable | undefined
  /** The same as `stdin`. */
  readonly input?: string | Uint8Array | undefined
  /** A terminal for the standard streams: output and errors are one stream then. Default none. */
  readonly tty?: boolean | TerminalSize | undefined
  /** Milliseconds; then the command is killed and ERR_MAYFLY_TIMEOUT thrown. Default: none. */
  readonly timeout?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly privileged?: boolean | undefined
}

export interface ExecResult {
  /** 127 when the command does not exist, 126 when it cannot be executed, 128 + signal when a signal ended it. */
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** A command that runs in a container, with its streams. */
export interface Process extends AsyncDisposable {
  /** What is written after the process closed it fails with ERR_MAYFLY_STDIN_CLOSED. */
  readonly stdin: Writable
  readonly stdout: Readable
  /** Empty with a terminal. What is not read of either stream holds the command up after 1 MiB. */
  readonly stderr: Readable
  /** Settles when it has ended and all its output is here. Rejects by `timeout`, `signal`, and with ERR_MAYFLY_RUN_LOST. */
  readonly exit: Promise<ExitStatus>
  /** Throws ERR_MAYFLY_NOT_RUNNING, and ERR_MAYFLY_OPTION_INVALID without a terminal. */
  resize(size: TerminalSize): Promise<void>
  /** Sends a signal; default SIGKILL. Harmless when it has ended. */
  kill(signal?: string | number): Promise<void>
}

export interface AttachOptions {
  /** Begin with what is kept of the output so far. Default false. */
  readonly logs?: boolean | undefined
  /** Take over standard input, which one at a time can have. Default true. */
  readonly stdin?: boolean | undefined
}

/** A container's own standard streams. What is read slowly holds the container up, and nothing is lost. */
export interface Attached extends AsyncDisposable {
  /** Absent when the container was started without `stdin`, or has closed it. */
  readonly stdin: Writable | undefined
  readonly stdout: Readable
  /** Empty with a terminal. */
  readonly stderr: Readable
  /** Settles when it has ended and all its output is here. Rejects with ERR_MAYFLY_ABORTED after `detach`. */
  readonly exit: Promise<ExitStatus>
  /** Throws ERR_MAYFLY_NOT_RUNNING, and ERR_MAYFLY_OPTION_INVALID without a terminal. */
  resize(size: TerminalSize): Promise<void>
  /** Lets go of the container, which goes on with its input open. */
  detach(): Promise<void>
}

export interface ExitStatus {
  /** Exit status; -1 when a signal ended the process. */
  readonly code: number
  /** Signal name such as `SIGKILL`, absent when the process exited by itself. */
  readonly signal: string | undefined
  /** Whether the memory limit ended it. */
  readonly oomKilled: boolean
}
