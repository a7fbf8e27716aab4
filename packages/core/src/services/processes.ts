import { PassThrough, Writable } from 'node:stream'
import { once } from 'node:events'
import type { AttachOptions, Attached, Container, ExecOptions, ExitStatus, Process, TerminalSize } from '../container/types.js'
import { MayflyError } from '../errors.js'
import { execOptions } from './calls.js'
import type { Lease } from './client.js'
import { uniqueName } from './unique.js'

/** A process with streams, on its way to a worker: first `started`, last `exit`. */
type Item =
  | { readonly started: { readonly stdin: boolean } }
  | { readonly stdout: string }
  | { readonly stderr: string }
  | { readonly exit: ExitStatus }

/** The run host's side: commands and attached streams of one connection, by the ids their users chose. */
export interface RemoteProcesses {
  open(container: Container, method: 'spawn' | 'attach', args: readonly unknown[], signal: AbortSignal): Promise<AsyncGenerator<Item>>
  /** `write`, `end`, `kill`, `resize` and `detach` of one of them. */
  control(id: string, what: string, value: unknown): Promise<void>
}

export function createRemoteProcesses(): RemoteProcesses {
  const running = new Map<string, Process | Attached>()

  async function* follow(id: string, process: Process | Attached): AsyncGenerator<Item> {
    const items: Item[] = []
    let wake = (): void => undefined
    const put = (item: Item): void => { items.push(item); wake() }
    for (const name of ['stdout', 'stderr'] as const) {
      process[name].on('data', (bytes: Buffer) => {
        put({ [name]: bytes.toString('base64') } as unknown as Item)
        // Goes on when the worker has taken it: what nobody reads holds the process up, as it does without a wire.
        process[name].pause()
      })
    }
    let failure: unknown
    // What is still in the streams when it ends comes before the end.
    const read = (['stdout', 'stderr'] as const).map(name => new Promise(resolve => process[name].once('end', resolve).once('error', resolve)))
    Promise.all([process.exit, ...read]).then(([exit]) => put({ exit }), (error: unknown) => { failure = error; wake() })
    try {
      yield { started: { stdin: process.stdin !== undefined } }
      for (;;) {
        const item = items.shift()
        if (item === undefined) {
          if (failure !== undefined) throw failure as Error
          for (const name of ['stdout', 'stderr'] as const) process[name].resume()
          if (items.length === 0) await new Promise<void>(resolve => void (wake = resolve))
          continue
        }
        yield item
        if ('exit' in item) return
      }
    } finally {
      running.delete(id)
      await Promise.resolve(process[Symbol.asyncDispose]()).catch(() => undefined)
    }
  }
  return {
    open: async (container, method, [id, first, second], signal) => {
      const process = method === 'spawn'
        ? await container.spawn(first as readonly string[], { ...execOptions(second), signal })
        : await container.attach(first as AttachOptions | undefined)
      running.set(String(id), process)
      process.stdin?.on('error', () => undefined)
      return follow(String(id), process)
    },
    control: async (id, what, value) => {
      const process = running.get(id)
      if (process === undefined) return
      if (what === 'write' && process.stdin !== undefined && !process.stdin.write(Buffer.from(String(value), 'base64'))) {
        await Promise.race([once(process.stdin, 'drain'), once(process.stdin, 'close')]).catch(() => undefined)
      }
      if (what === 'end') process.stdin?.end()
      if (what === 'kill' && 'kill' in process) await process.kill(value as string | number | undefined)
      if (what === 'detach' && 'detach' in process) await process.detach()
      if (what === 'resize') await process.resize(value as TerminalSize)
    },
  }
}

/** The worker's side: a command started in a leased container. */
export async function spawnIn(lease: Lease, command: readonly string[], { stdin, input = undefined, signal, ...options }: ExecOptions = {}): Promise<Process> {
  const given = stdin ?? input
  const { control, ...streams } = await open(lease, 'spawn', [command, options])
  const process: Process = {
    ...streams,
    stdin: streams.stdin ?? new PassThrough(),
    resize: size => control('resize', size),
    kill: name => control('kill', name),
    [Symbol.asyncDispose]: () => control('kill'),
  }
  signal?.addEventListener('abort', () => void control('kill').catch(() => undefined), { once: true })
  if (given !== undefined && (typeof given === 'string' || given instanceof Uint8Array)) process.stdin.end(given)
  else given?.pipe(process.stdin)
  return process
}

/** The worker's side: the standard streams of a leased container's own process. */
export async function attachTo(lease: Lease, options: AttachOptions = {}): Promise<Attached> {
  const { control, ...streams } = await open(lease, 'attach', [options])
  return { ...streams, resize: size => control('resize', size), detach: () => control('detach'), [Symbol.asyncDispose]: () => control('detach') }
}

interface Streams {
  readonly stdin: Writable | undefined
  readonly stdout: PassThrough
  readonly stderr: PassThrough
  readonly exit: Promise<ExitStatus>
  readonly control: (what: string, value?: unknown) => Promise<void>
}

async function open(lease: Lease, method: string, args: readonly unknown[]): Promise<Streams> {
  const id = uniqueName()
  const control = async (what: string, value?: unknown): Promise<void> => void (await lease.call('control', [id, what, value]))
  const items = lease.stream(method, [id, ...args]) as AsyncGenerator<Item>
  const first = await items.next()
  if (first.done === true || !('started' in first.value)) throw new MayflyError('ERR_MAYFLY_INTERNAL', `The run host did not answer "${method}"`)
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const take = async (): Promise<ExitStatus> => {
    try {
      for await (const item of items) {
        if ('exit' in item) return item.exit
        const [stream, text] = 'stdout' in item ? [stdout, item.stdout] : [stderr, (item as { stderr: string }).stderr]
        if (!stream.write(Buffer.from(text, 'base64'))) await once(stream, 'drain')
      }
      throw new MayflyError('ERR_MAYFLY_RUN_LOST', 'The run host is gone, and the process with it')
    } finally {
      stdout.end()
      stderr.end()
    }
  }
  const exit = take()
  exit.catch(() => undefined)
  const settle = (done: (error?: Error | null) => void) => (work: Promise<void>): void => void work.then(() => done(), done)
  const stdin = first.value.started.stdin ? new Writable({
    write: (chunk: Buffer, _, done) => settle(done)(control('write', Buffer.from(chunk).toString('base64'))),
    final: done => settle(done)(control('end')),
  }) : undefined
  return { stdin, stdout, stderr, exit, control }
}
