// What newer kernels have is used where it is found; MAYFLY_NATIVE_OFF takes it away, and the way that older kernels go is
// gone here. The rest of these switches: cgroup.test.ts (clone_into_cgroup, cgroup_kill, systemd), outbound.test.ts
// (nftables), packages/native/test/unpack.test.ts (sha256); slots.test.ts has none, drivers.test.ts every driver.
import { existsSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { currentRun, endRun, run } from '../../packages/core/src/container/index.js'
import { fakeRegistry, tar, type FakeRegistry } from '../../packages/core/test/images/fixture.js'
import { layersOf } from './layers.js'
import { useBench } from './bench.js'

/** As many as the kernel's overlay takes. */
const LAYERS = 500
useBench()
let registry: FakeRegistry
let few: number
beforeAll(async () => {
  registry = await fakeRegistry()
  await using _ = await run('busybox', { command: ['true'] })
  const base = layersOf(process.env['MAYFLY_HOME'] ?? '')
  few = LAYERS - base.length
  const small = Array.from({ length: few + 1 }, (_, at) => tar([{ name: `layer-${at}`, content: `${at}\n` }, { name: 'top', content: `${at}\n` }]))
  registry.add('deep', 'latest', [...base, ...small.slice(0, few)])
  registry.add('deep', 'deeper', [...base, ...small])
})
afterAll(() => registry.close())
afterEach(async () => {
  delete process.env['MAYFLY_NATIVE_OFF']
  await endRun()
})

const without = (features: string): void => { process.env['MAYFLY_NATIVE_OFF'] = features }
const rootOf = '/^[0-9]+ [0-9]+ [0-9:]+ [^ ]+ \\/ /'

test.each([['', 'as the kernel has it'], ['lowerdir+', 'before Linux 6.5']])('500 layers, more than the options of a mount can name (without %j: %s)', { timeout: 120_000 }, async (off) => {
  without(off)
  await using container = await run(`${registry.host}/deep`, { command: ['sleep', '1000'], driver: 'overlay' })
  const { stdout } = await container.exec(['sh', '-c', `ls -d /layer-* | wc -l; cat /top; echo x > /layer-3 && cat /layer-3; awk '${rootOf}' /proc/self/mountinfo`])
  const [count, top, changed, mount = ''] = stdout.split('\n')
  expect([count, top, changed]).toEqual([`${few}`, `${few - 1}`, 'x'])
  expect(mount).toContain(' - overlay ')
  if (off !== '') expect(mount).toContain('lowerdir=0:1:2:')
})

test('501 layers are refused, not the run given to a slower driver, and the driver that is asked for takes them', { timeout: 120_000 }, async () => {
  const start = (): ReturnType<typeof run> => run(`${registry.host}/deep:deeper`, { command: ['sleep', '1000'] })
  // Twice: the second is of a kind that is known.
  for (let times = 0; times < 2; times += 1) {
    await expect(start()).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED', message: expect.stringContaining('at most 500 layers, and this image has 501') as string, details: { layers: 501 } })
  }
  expect((await currentRun()).driver.name).toBe('overlay')
  await using container = await run(`${registry.host}/deep:deeper`, { command: ['sleep', '1000'], driver: 'copy' })
  expect((await container.exec(['cat', '/top'])).stdout).toBe(`${few}\n`)
})

test('copies without reflinks, and without the kernel\'s copying', async () => {
  without('reflink,copy_file_range')
  await using container = await run('busybox', { command: ['sleep', '1000'], driver: 'copy' })
  expect(await container.exec(['sh', '-c', 'echo a > /bin/new && cat /bin/new && /bin/busybox true && md5sum < /bin/busybox | cut -c-32'])).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^a\n[0-9a-f]{32}\n$/) as string })
})

test('without a sealed copy of the native program containers run, and an init is refused', async () => {
  without('memfd')
  await using container = await run('busybox', { command: ['sleep', '1000'] })
  expect(await container.exec(['true'])).toMatchObject({ exitCode: 0 })
  await expect(run('busybox', { command: ['sleep', '1000'], init: true })).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED', message: expect.stringContaining('sealed copy') as string })
})

test.runIf(process.geteuid?.() === 0 && !existsSync('/sys/fs/cgroup/devices'))('without the program that judges devices, none of root\'s making opens', async () => {
  const open = async (): Promise<string> => {
    await using container = await run('busybox', { command: ['sleep', '1000'] })
    return (await container.exec(['sh', '-c', 'mknod /zero c 1 5 && head -c 1 /zero | wc -c; mknod /other c 1 4 && head -c 1 /other 2>&1'])).stdout
  }
  expect(await open()).toMatch(/^1\n.*not permitted/)
  await endRun()
  without('bpf')
  expect((await currentRun()).hello.features.get('devices')).toBe('none')
  expect(await open()).toMatch(/^0\n.*denied/)
})
