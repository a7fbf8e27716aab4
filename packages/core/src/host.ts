/** The run host's process: one line of options in, one line of address out, then it serves until its lifeline ends. */
import { closeSync, openSync, rmSync } from 'node:fs'
import { alone, findImage, followHealth, keepRun, network, openHeldAddress, openSnapshot, reach, run, socketDirectory, wait } from './container/index.js'
import { openHost, type Host } from './services/host.js'
import type { Farewell, Greeting, HostOptions } from './services/index.js'
import { keepFor } from './services/keep.js'
import { toWire } from './services/wire.js'

// Ctrl-C goes to the whole process group; the runner decides, and the lifeline tells.
process.on('SIGINT', () => undefined)

const engine = { run, network, reach, alone, openSnapshot, findImage, followHealth, openHeldAddress, wait }
let host: Host | undefined
let text = ''
let ending = false
process.stdin.setEncoding('utf8')
process.stdin.on('data', (chunk: string) => {
  text += chunk
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n')) {
    const line = text.slice(0, at)
    text = text.slice(at + 1)
    void (line === 'close' ? close() : line === 'reload' ? reload() : open(JSON.parse(line) as HostOptions))
  }
})
// The supervisor ends with this process's connection to it; everything else ends with the supervisor.
process.stdin.on('end', () => void lost())
process.stdin.on('error', () => void lost())

async function open(options: HostOptions): Promise<void> {
  try {
    keepFor()
    const opened = host = await openHost(engine, { ...options, socketDirectory: socketDirectory() })
    process.on('exit', () => rmSync(opened.address.socket, { force: true }))
    say({ address: opened.address })
  } catch (error) {
    say({ error: toWire(error) })
    process.exitCode = 1
    process.stdin.destroy()
  }
}

async function reload(): Promise<void> {
  try {
    if (host !== undefined) say({ address: await host.reload() })
  } catch (error) {
    say({ error: toWire(error) })
  }
}

/** In order: the runner waits for the figures. */
async function close(): Promise<void> {
  ending = true
  if (host === undefined) process.exit(0)
  const { summary, kept } = await host.close()
  await new Promise<void>(resolve => process.stdout.write(`${JSON.stringify({ summary })}\n`, () => resolve()))
  if (kept !== undefined) await stay(kept.over)
  process.exit(0)
}

/** The runner is gone. What a failed test used may have to stay all the same. */
async function lost(): Promise<void> {
  if (ending) return
  ending = true
  if (host === undefined || process.env['MAYFLY_KEEP'] === undefined) process.exit(0)
  const { kept } = await host.close()
  if (kept !== undefined) await stay(kept.over)
  process.exit(0)
}

/** Nobody may wait for the end of this process's output. */
async function stay(over: Promise<void>): Promise<void> {
  await keepRun()
  for (const descriptor of [1, 2]) closeSync(descriptor)
  for (let opened = 0; opened < 2; opened += 1) openSync('/dev/null', 'w')
  process.title = 'mayfly keeper'
  await over
}

function say(what: Greeting | Farewell): void {
  process.stdout.write(`${JSON.stringify(what)}\n`)
}
