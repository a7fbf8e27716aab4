import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { startRunner, type Bench } from './runner.js'
import { remains, trailOf, type Trail } from './trail.js'

/**
 * Starts a runner on its `hanging` project, waits until `holders` tests hold their containers, kills the runner by
 * SIGKILL and answers what is left of it two seconds later (longer where others keep the machine busy).
 */
export async function killWhileHolding(
  runner: 'jest' | 'vitest', bench: Bench, words: readonly string[], holders: number,
): Promise<string[]> {
  const child = startRunner(runner, 'hanging', bench, words)
  const pid = child.pid ?? 0
  try {
    const addresses = await holding(child, holders)
    const trail = trailOf(pid, addresses[0] ?? '')
    const [processes, cgroups, sockets, interfaces] = [trail.processes, trail.cgroups, trail.sockets, trail.interfaces]
    const names = processes.map(({ name }) => name)
    // What is not seen before the kill would prove nothing after it.
    for (const name of ['redis-server', 'mayfly-native']) {
      if (!names.includes(name)) throw new Error(`${name} is not among ${names.join(', ')}`)
    }
    if ([cgroups, sockets, interfaces].some((seen) => seen.length === 0)) {
      throw new Error(`Not seen before the kill: ${JSON.stringify({ cgroups, sockets, interfaces })}`)
    }
    const patience = 2000 * slowness()
    child.kill('SIGKILL')
    await once(child, 'exit')
    return await leftOf(trail, patience)
  } finally {
    child.kill('SIGKILL')
  }
}

export type Phase = 'set-up' | 'prepare' | 'lease' | 'test' | 'teardown'

/**
 * Starts a runner as a terminal does, presses Ctrl-C (SIGINT to its whole group) while its global set-up fetches images, while
 * a service is prepared or leased, while a test holds containers, or in a file's tear-down, and answers what is left of it some seconds later.
 */
export async function interrupt(runner: 'jest' | 'vitest', bench: Bench, words: readonly string[], phase: Phase): Promise<string[]> {
  const project = phase === 'set-up' || phase === 'test' ? 'hanging' : 'phases'
  const child = startRunner(runner, project, { ...bench, environment: { ...bench.environment, PHASE: phase } }, words, { group: true })
  const pid = child.pid ?? 0
  const ended = once(child, 'exit')
  try {
    const address = phase === 'set-up' ? '' : (await holding(child, 1))[0] ?? ''
    let trail = trailOf(pid, address)
    while (!trail.processes.some(({ name }) => name === 'mayfly-native')) {
      if (child.exitCode !== null) throw new Error('The runner ended early')
      await new Promise((resolve) => setTimeout(resolve, 20))
      trail = trailOf(pid, address)
    }
    const patience = 5000 * slowness()
    process.kill(-pid, 'SIGINT')
    await ended
    return await leftOf(trail, patience)
  } finally {
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // All of the group are gone.
    }
  }
}

async function leftOf(trail: Trail, patience: number): Promise<string[]> {
  const deadline = Date.now() + patience
  for (;;) {
    // What is looked for before the time is over proves nothing, however long looking takes.
    const over = Date.now() > deadline
    const left = remains(trail)
    if (left.length === 0 || over) return left
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** How much longer things take here and now than on a machine of its own, where Node starts in less than 100 ms. */
function slowness(): number {
  const began = performance.now()
  spawnSync(process.execPath, ['-e', '0'])
  return Math.max(1, (performance.now() - began) / 100)
}

function holding(child: ReturnType<typeof startRunner>, holders: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    let output = ''
    const hear = (text: Buffer): void => {
      output += text.toString()
      const found = [...output.matchAll(/holding (\S+) /g)].map((match) => match[1] ?? '')
      if (found.length >= holders) resolve(found)
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.once('exit', () => reject(new Error(`The runner ended early:\n${output}`)))
  })
}
