import { isMayflyError, MayflyError } from '../errors.js'
import { decodeExit, decodeLogRecords, encodeLogs, METHOD, Reader, type Connection } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { resize } from './process.js'
import { signalName } from './signals.js'
import { InputStream, OutputStream } from './streams.js'
import type { Attached, ExitStatus } from './types.js'

const CREDIT = 1 << 20
const EVERYTHING = 0xffffffff
const FLAGS = 1 | 2 | 4 | 8
const RECORD_HEADER = 13

export interface Attachable {
  readonly id: string
  readonly terminal: boolean
  /** Whether input is wanted, which the container may not take. */
  readonly input: boolean
  /** Begin with what is kept of the output so far. */
  readonly logs: boolean
}

/** Joins a container's standard streams. What is read slowly holds the container up, and loses nothing. */
export async function attach(connection: Connection, { id, terminal, input, logs }: Attachable): Promise<Attached> {
  const stdin = input ? await openInput(connection, id, terminal) : undefined
  const grant = (bytes: number): void => connection.credit(output.id, bytes)
  const stdout = new OutputStream(grant)
  const stderr = new OutputStream(grant)
  let finish: (error?: Error) => void = () => undefined
  const finished = new Promise<Error | undefined>((resolve) => void (finish = resolve))
  const output = connection.open(METHOD.logs, encodeLogs(id, FLAGS, 0n, logs ? EVERYTHING : 0, CREDIT), {
    data: (payload) => {
      for (const record of decodeLogRecords(payload)) {
        if (record.stream === 'dropped') grant(RECORD_HEADER + 8)
        else (record.stream === 'stderr' ? stderr : stdout).add(record.bytes, RECORD_HEADER + record.bytes.length)
      }
    },
    end: (error) => {
      for (const stream of [stdout, stderr]) stream.finish(error)
      finish(error)
    },
  })
  try {
    await output.reply
  } catch (error) {
    stdin?.forget()
    throw error
  }
  const waiting = connection.open(METHOD.wait, new Writer().str(id).take())
  const exit = ended(waiting.reply, finished)
  exit.catch(() => undefined)
  let detached = false
  const detach = async (): Promise<void> => {
    if (detached) return
    detached = true
    stdin?.forget()
    connection.end(output.id)
    connection.drop(output.id)
    connection.end(waiting.id)
    const reason = new MayflyError('ERR_MAYFLY_ABORTED', 'Detached from the container, which goes on')
    finish(reason)
    for (const stream of [stdout, stderr]) stream.finish()
    await exit.catch(() => undefined)
  }
  return { stdin: stdin?.stream, stdout, stderr, exit, detach, resize: (size) => resize(connection, id, 0, size), [Symbol.asyncDispose]: detach }
}

async function openInput(connection: Connection, container: string, terminal: boolean): Promise<{ stream: InputStream; forget: () => void } | undefined> {
  const stream = new InputStream({ data: (bytes) => connection.data(id, bytes), end: () => connection.end(id) }, terminal)
  const { id, reply } = connection.open(METHOD.attach, new Writer().str(container).u32(0).take(), {
    data: () => undefined, credit: (bytes) => stream.grant(bytes), end: () => stream.close(),
  })
  try {
    stream.grant(new Reader(await reply).u32())
    // From now on the container's output tells that it lives.
    connection.setIdle(id, true)
    return { stream, forget: () => { connection.drop(id); stream.close() } }
  } catch (error) {
    if (!isMayflyError(error) || error.details['errno'] !== 'EPIPE') throw error
    return undefined
  }
}

async function ended(reply: Promise<Buffer>, finished: Promise<Error | undefined>): Promise<ExitStatus> {
  reply.catch(() => undefined)
  const lost = await finished
  if (lost !== undefined) throw lost
  const { code, signal, oomKilled } = decodeExit(await reply)
  return { code, signal: signalName(signal), oomKilled }
}
