/** The run host's process: one line of options in, one line of address out, then it serves until its lifeline ends. */
import { rmSync } from 'node:fs'
import { alone, findImage, openHeldAddress, openSnapshot, reach, run, socketDirectory, wait } from './container/index.js'
import { openHost } from './services/host.js'
import type { Greeting, HostOptions } from './services/index.js'
import { toWire } from './services/wire.js'

// Ctrl-C goes to the whole process group; the runner decides, and the lifeline tells.
process.on('SIGINT', () => undefined)

let text = ''
let started = false
process.stdin.setEncoding('utf8')
process.stdin.on('data', (chunk: string) => {
  text += chunk
  if (started || !text.includes('\n')) return
  started = true
  void open(JSON.parse(text) as HostOptions)
})
// The supervisor ends with this process's connection to it; everything else ends with the supervisor.
process.stdin.on('end', () => process.exit(0))
process.stdin.on('error', () => process.exit(0))

async function open(options: HostOptions): Promise<void> {
  try {
    const host = await openHost({ run, alone, openSnapshot, findImage, openHeldAddress, reach, wait }, { ...options, socketDirectory: socketDirectory() })
    process.on('exit', () => rmSync(host.address.socket, { force: true }))
    greet({ address: host.address })
  } catch (error) {
    greet({ error: toWire(error) })
    process.exitCode = 1
    process.stdin.destroy()
  }
}

function greet(greeting: Greeting): void {
  process.stdout.write(`${JSON.stringify(greeting)}\n`)
}
