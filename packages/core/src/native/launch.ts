import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'

import { MayflyError } from '../errors.js'
import { nativeBinary } from './binary.js'
import { Connection } from './connection.js'
import { mapWords } from './privilege.js'
import { decodeHello, encodeHello, METHOD, type Hello } from './requests.js'

export interface LaunchOptions {
  readonly runId: string
  /** The run's directory: ours, mode 0700, deleted after the run. */
  readonly dir: string
  readonly socketPath: string
  /** What other processes must present. */
  readonly token: string
}

export interface Supervisor {
  readonly connection: Connection
  readonly hello: Hello
  /** Process id of the janitor. */
  readonly pid: number
}

/**
 * Starts janitor and supervisor of a run. Neither keeps this process alive; both end with it. Throws
 * ERR_MAYFLY_NATIVE_FAILED, ERR_MAYFLY_NATIVE_MISSING, ERR_MAYFLY_UNPRIVILEGED.
 */
export async function launchSupervisor({ runId, dir, socketPath, token }: LaunchOptions): Promise<Supervisor> {
  const child = spawn(nativeBinary(), ['supervise', '--run', runId, '--dir', dir, '--socket', socketPath, ...mapWords()], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'], detached: true,
  })
  const spawned = new Promise<never>((_resolve, reject) => child.once('error', reject))
  spawned.catch(() => undefined)
  const socket = child.stdio[3] as Socket | null | undefined
  if (socket === null || socket === undefined || child.pid === undefined) return spawned
  let trouble = ''
  const errors = child.stderr as unknown as Socket
  errors.setEncoding('utf8')
  errors.on('data', (text: string) => void (trouble = (trouble + text).slice(-2000)))
  const silent = new Promise<void>((resolve) => errors.once('close', () => resolve()))
  child.unref()
  errors.unref()
  const connection = new Connection(socket)
  try {
    const reply = await Promise.race([connection.request(METHOD.hello, encodeHello('0.1.0', token)), spawned])
    return { connection, hello: decodeHello(reply), pid: child.pid }
  } catch (cause) {
    connection.close()
    errors.ref()
    await silent
    throw await startFailed(trouble.trim(), cause)
  }
}

/** Refusals of the kernel, and every failure of making a user namespace: it has many names for "not here". */
const DENIED = /EPERM|EACCES|clone3|userns|private mounts/

async function startFailed(trouble: string, cause: unknown): Promise<MayflyError> {
  const what = `The supervisor did not start: ${trouble === '' ? (cause as Error).message : trouble}`
  if (!DENIED.test(trouble)) return new MayflyError('ERR_MAYFLY_NATIVE_FAILED', what, { cause })
  return (await import('./diagnose.js')).unprivileged(what, cause)
}
