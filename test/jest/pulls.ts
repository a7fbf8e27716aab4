import { once } from 'node:events'
import { join } from 'node:path'
import { slowMirror } from '../pull/slow.js'
import { openBench, startRunner } from './runner.js'

/** What a runner, with an empty store, prints of a pull that takes long, and how it ends. */
export async function pullSlowly(runner: 'jest' | 'vitest', words: readonly string[]): Promise<{ readonly code: number | null, readonly output: string }> {
  const bench = await openBench()
  let output = ''
  const [registry = ''] = (bench.environment['MAYFLY_REGISTRY_MIRROR'] ?? '').split(',')
  const slow = await slowMirror(registry, () => output.includes('mayfly: pulling '))
  try {
    const environment = { ...bench.environment, MAYFLY_HOME: join(bench.directory, 'fresh'), MAYFLY_REGISTRY_MIRROR: slow.mirror }
    const child = startRunner(runner, 'main', { ...bench, environment }, words)
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => { output += text.toString() })
    const [code] = await once(child, 'close') as [number | null]
    return { code, output }
  } finally {
    slow.close()
    await bench.close()
  }
}

/** The line that says how far a pull is. */
export const PULLING = /^mayfly: pulling [\w:./-]+: [\d.]+ \w+ of [\d.]+ MiB, [\d.]+ \w+\/s, \d of \d layers?$/m
