import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { endRun, run, type Container, type ExecResult, type RunOptions, type WaitStrategy } from '../../packages/core/src/container/index.js'
import { fakeRegistry } from '../../packages/core/test/images/fixture.js'
import { openBench } from '../jest/runner.js'
import { archive, type Entry } from './archive.js'

export const executed: WaitStrategy = { description: 'its execution', acceptsExit: true, ready: () => Promise.resolve() }
export const sleeper: RunOptions = { command: ['sleep', '600'], ready: executed }

/** Containers of the test images, and of images made for an attack. */
export interface Place {
  readonly home: string
  readonly directory: string
  /** An image of busybox and these files; gives its reference. */
  craft(entries: readonly Entry[], config?: object): Promise<string>
  close(): Promise<void>
}

let made = 0

export async function openPlace(): Promise<Place> {
  const bench = await openBench()
  const home = bench.environment['MAYFLY_HOME'] ?? ''
  Object.assign(process.env, { MAYFLY_HOME: home, MAYFLY_REGISTRY_MIRROR: bench.environment['MAYFLY_REGISTRY_MIRROR'] })
  const registry = await fakeRegistry()
  let base: Buffer | undefined
  return {
    home,
    directory: bench.directory,
    craft: async (entries, config = {}) => {
      base ??= archive([{ name: 'bin', type: 'directory' }, { name: 'bin/busybox', content: await busybox(home), mode: 0o755 }, { name: 'bin/sh', type: 'symlink', target: 'busybox' }])
      const name = `attack${++made}`
      registry.add(name, 'latest', [base, archive(entries)], { config: { Env: ['PATH=/bin'], ...config } })
      return `${registry.host}/${name}`
    },
    close: async () => {
      await endRun()
      await registry.close()
      await bench.close()
    },
  }
}

/** The static program of the busybox image, from the store. */
async function busybox(home: string): Promise<Buffer> {
  await using _container = await run('busybox', sleeper)
  const layers = join(home, 'layers')
  for (const layer of readdirSync(layers)) {
    try {
      return readFileSync(join(layers, layer, 'tree/bin/busybox'))
    } catch {}
  }
  throw new Error('no busybox in the store')
}

export function sh(container: Container, script: string, options: Parameters<Container['exec']>[1] = {}): Promise<ExecResult> {
  return container.exec(['/bin/sh', '-c', script], options)
}

/** What a container's own command prints until it ends, and how it ends. */
export async function outcome(image: string, options: RunOptions): Promise<{ code: number; text: string }> {
  await using container = await run(image, { ready: executed, ...options })
  const lines: string[] = []
  for await (const { text } of container.logs({ follow: true })) lines.push(text)
  return { code: (await container.exit).code, text: lines.join('\n') }
}
