import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fakeRegistry, tar, type FakeRegistry } from '../../packages/core/test/images/fixture.js'
import { currentRun, endRun, run } from '../../packages/core/src/container/index.js'
import { openBench, type Bench } from '../jest/runner.js'
import { until } from './bench.js'
import { layersOf } from './layers.js'

/** Every kind of change a layer can make to those below. */
const LOWER = tar([
  { name: 'd/', type: '5', mode: 0o751 },
  { name: 'd/kept', content: 'kept', mode: 0o4755 },
  { name: 'd/gone', content: 'gone' },
  { name: 'd/alias', type: '1', target: 'd/kept' },
  { name: 'd/link', type: '2', target: 'kept' },
  { name: 'opaque/', type: '5', mode: 0o755 },
  { name: 'opaque/below', content: 'below' },
  { name: 'file-then-directory', content: 'x' },
  { name: 'directory-then-file/', type: '5', mode: 0o755 },
  { name: 'directory-then-file/x', content: 'x' },
  { name: 'deep/er/', type: '5', mode: 0o700 },
  { name: 'deep/er/file', content: 'lower', mode: 0o600 },
])
const UPPER = tar([
  { name: 'd/.wh.gone', content: '' },
  { name: 'opaque/', type: '5', mode: 0o755 },
  { name: 'opaque/.wh..wh..opq', content: '' },
  { name: 'opaque/above', content: 'above' },
  { name: 'file-then-directory/', type: '5', mode: 0o755 },
  { name: 'file-then-directory/y', content: 'y' },
  { name: 'directory-then-file', content: 'now a file' },
  { name: 'deep/er/file', content: 'upper and longer', mode: 0o640 },
])
const LIST = 'find / -xdev ! -path "/etc/host*" ! -path /etc/resolv.conf ! -path /etc ! -path / ' +
  '-exec stat -c "%n %F %a %u %g %s" {} + | sort; cat /d/kept /deep/er/file; echo; stat -c "%h %i" /d/kept; stat -c "%h %i" /d/alias'

let bench: Bench
let registry: FakeRegistry
beforeAll(async () => {
  bench = await openBench()
  Object.assign(process.env, { MAYFLY_HOME: bench.environment['MAYFLY_HOME'], MAYFLY_REGISTRY_MIRROR: bench.environment['MAYFLY_REGISTRY_MIRROR'] })
  registry = await fakeRegistry()
  await using _ = await run('busybox', { command: ['true'] })
  registry.add('mixed', 'latest', [...layersOf(process.env['MAYFLY_HOME'] ?? ''), LOWER, UPPER])
})
afterAll(async () => {
  await endRun()
  await registry.close()
  await bench.close()
})

function listing(output: string): string[] {
  const lines = output.trim().split('\n')
  const [kept, alias] = lines.slice(-2)
  expect(kept).toBe(alias)
  expect(kept).toMatch(/^2 /)
  // A directory's size is its file system's matter.
  return lines.slice(0, -2).map((line) => line.includes(' directory ') ? line.replace(/ \d+$/, '') : line)
}

function opens(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}

const fuse = opens('/dev/fuse') && (process.env['PATH'] ?? '').split(':').some((directory) => existsSync(join(directory, 'fuse-overlayfs')))
if (!fuse) process.stderr.write('fuse-overlayfs is not tested: it needs the program and /dev/fuse\n')

describe.each(['copy', ...(fuse ? ['fuse-overlayfs' as const] : [])] as ('copy' | 'fuse-overlayfs')[])('%s', (driver) => {
  test('gives the same tree as overlay', async () => {
    await using expected = await run(`${registry.host}/mixed`, { command: ['sleep', '600'], driver: 'overlay' })
    await using container = await run(`${registry.host}/mixed`, { command: ['sleep', '600'], driver })
    const [want, have] = await Promise.all([expected, container].map((one) => one.exec(['sh', '-c', LIST])))
    expect(have?.stderr).toBe('')
    expect(listing(have?.stdout ?? '')).toEqual(listing(want?.stdout ?? ''))
  })

  test('takes changes, which the next container does not see', async () => {
    await using first = await run('busybox', { command: ['sleep', '600'], driver })
    expect(await first.exec(['sh', '-c', 'echo new > /etc/new; rm /bin/ls; cat /etc/new'])).toMatchObject({ exitCode: 0, stdout: 'new\n' })
    await using second = await run('busybox', { command: ['sleep', '600'], driver })
    expect((await second.exec(['ls', '/etc/new'])).exitCode).toBe(1)
  })

  test('leaves no scratch behind', async () => {
    const { dir } = await currentRun()
    const container = await run('busybox', { command: ['sleep', '600'], driver })
    expect(readdirSync(join(dir, 'scratch'))).toContain(container.id)
    await container.stop({ timeout: 0 })
    // Its own: slots wait there, too, where the kernel keeps an ordinary user's changes on disk.
    await until(() => !readdirSync(join(dir, 'scratch')).includes(container.id))
  })
})

test('an unknown driver is refused', async () => {
  await expect(run('busybox', { driver: 'zfs' as 'copy' })).rejects.toMatchObject({
    code: 'ERR_MAYFLY_OPTION_INVALID', message: 'Invalid driver "zfs": one of overlay, fuse-overlayfs, copy',
  })
})
