import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const LEASES = 40
const mode = process.argv[2]

/** Milliseconds of leases, asked for in a worker while the process that holds the run does nothing but compute. */
export async function leaseLatency(project) {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'main', project], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (text) => { output += text })
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`The measurement of leases ended with ${code}`)
  return JSON.parse(output)
}

if (mode === 'main') {
  const { launchRun } = await import('@mayfly/core/plugin')
  const run = await launchRun({ directories: [process.argv[3]], slots: 1 })
  const worker = spawn(process.execPath, [fileURLToPath(import.meta.url), 'worker', process.argv[3], JSON.stringify(run.address)], { stdio: ['ignore', 'inherit', 'inherit'] })
  let running = true
  worker.once('close', (code) => {
    running = false
    process.exitCode = code ?? 1
    void run.close()
  })
  // As busy as with transforming modules: hardly ever free for a moment.
  const busy = () => {
    for (const until = performance.now() + 50; performance.now() < until;);
    if (running) setImmediate(busy)
  }
  busy()
}

if (mode === 'worker') {
  const { openSession } = await import('@mayfly/core/plugin')
  const times = []
  for (let nth = -3; nth < LEASES; nth += 1) {
    const session = openSession(JSON.parse(process.argv[4]), `${process.argv[3]}/${nth}.test.js`, 1)
    await session.prepare({ name: 'db' })
    const began = performance.now()
    await session.lease({ name: 'db' })
    if (nth >= 0) times.push(performance.now() - began)
    await session.close()
    await new Promise((resolve) => { setTimeout(resolve, 150) })
  }
  process.stdout.write(JSON.stringify(times))
}
