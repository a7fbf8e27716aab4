// The driver `copy` on a file system that has reflinks: files of a container are the layers' own blocks until they change.
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test } from 'vitest'
import { fakeRegistry, tar } from '../../packages/core/test/images/fixture.js'
import { endRun, run } from '../../packages/core/src/container/index.js'
import { layersOf } from './layers.js'
import { until, useBench } from './bench.js'

const why = reasonAgainst()
if (why !== undefined) process.stderr.write(`reflinks are not tested: ${why}\n`)
/** Bytes of the file that is copied, and of what else a container may take. */
const LARGE = 32 << 20
const LITTLE = 8 << 20

const bench = useBench()
const directory = mkdtempSync(join(tmpdir(), 'mayfly-test-'))
const disk = join(directory, 'disk')
afterEach(async () => {
  delete process.env['MAYFLY_NATIVE_OFF']
  await endRun()
})
afterAll(async () => {
  // A run that has ended is tidied up after by its janitor.
  if (existsSync(disk)) await until(() => spawnSync('umount', [disk]).status === 0)
  rmSync(directory, { recursive: true })
})

test.skipIf(why !== undefined)('a copy takes no room where blocks can be shared, and all of it where they cannot', { timeout: 60_000 }, async () => {
  await using _ = await run('busybox', { command: ['true'] })
  const registry = await fakeRegistry()
  const content = randomBytes(LARGE)
  registry.add('large', 'latest', [...layersOf(join(bench.home, 'home')), tar([{ name: 'large', content }])])
  await endRun()
  writeFileSync(join(directory, 'image'), '')
  truncateSync(join(directory, 'image'), 512 << 20)
  execFileSync('mkfs.btrfs', ['-q', join(directory, 'image')])
  mkdirSync(disk)
  execFileSync('mount', ['-o', 'loop', join(directory, 'image'), disk])
  process.env['MAYFLY_HOME'] = join(disk, 'home')
  try {
    const taken = async (): Promise<number> => {
      // The image is there before anything is counted.
      await using first = await run(`${registry.host}/large`, { command: ['true'], driver: 'copy' })
      await first.exit
      const before = free()
      await using container = await run(`${registry.host}/large`, { command: ['sleep', '1000'], driver: 'copy' })
      const after = free()
      const { stdout } = await container.exec(['sh', '-c', 'echo x >> /large; md5sum < /large'])
      expect(stdout).toMatch(/^[0-9a-f]{32}/)
      return before - after
    }
    expect(await taken()).toBeLessThan(LITTLE)
    await endRun()
    process.env['MAYFLY_NATIVE_OFF'] = 'reflink,copy_file_range'
    expect(await taken()).toBeGreaterThan(LARGE - LITTLE)
    // What containers changed is theirs.
    expect(layersOf(join(disk, 'home')).some((layer) => layer.includes(content))).toBe(true)
  } finally {
    await endRun()
    process.env['MAYFLY_HOME'] = join(bench.home, 'home')
    await registry.close()
  }
})

/** Bytes, once all that was written has its place. */
function free(): number {
  execFileSync('sync', ['-f', disk])
  const { bfree, bsize } = statfsSync(disk)
  return bfree * bsize
}

function reasonAgainst(): string | undefined {
  if (process.geteuid?.() !== 0) return 'only root mounts file systems'
  if (!existsSync('/usr/sbin/mkfs.btrfs') && !existsSync('/sbin/mkfs.btrfs')) return 'mkfs.btrfs is not installed'
  if (!existsSync('/dev/loop-control')) return 'there are no loop devices'
  return /\tbtrfs$/m.test(readFileSync('/proc/filesystems', 'utf8')) || existsSync('/usr/lib/modules') ? undefined : 'the kernel has no btrfs'
}
