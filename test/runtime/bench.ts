import { mkdtempSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { endRun } from '@mayfly/core/engine'
import { afterAll, beforeAll } from 'vitest'
import { removeTree } from '../../packages/core/src/layers/native.js'
import { startRegistry } from '../images/registry.mjs'

/** For a file of tests: the test images' registry and a store of its own, both gone afterwards, and the run ended. */
export function useBench(): { readonly home: string } {
  const bench = { home: '' }
  let close: () => Promise<void> = () => Promise.resolve()
  beforeAll(async () => {
    const registry = await startRegistry()
    bench.home = mkdtempSync(join(tmpdir(), 'mayfly-test-'))
    process.env['MAYFLY_REGISTRY_MIRROR'] = registry.mirror
    process.env['MAYFLY_HOME'] = join(bench.home, 'home')
    close = () => registry.close()
  })
  afterAll(async () => {
    await endRun()
    await close()
    // An ordinary user's store has files of other ids.
    await removeTree(bench.home)
  })
  return bench
}

/** Directories below `/sys/fs/cgroup` whose name contains `part`. */
export function cgroupsNamed(part: string, below = '/sys/fs/cgroup'): string[] {
  const found: string[] = []
  for (const entry of directories(below)) {
    const path = join(below, entry)
    if (entry.includes(part)) found.push(path)
    found.push(...cgroupsNamed(part, path))
  }
  return found
}

/** Empty for what vanishes while one looks. */
function directories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  } catch {
    return []
  }
}

/** Settles when `fact` holds; the test's own time limit ends the wait. */
export async function until(fact: () => boolean | Promise<boolean>): Promise<void> {
  while (!await fact()) await new Promise((resolve) => setTimeout(resolve, 10))
}
