import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '@mayfly/core'
import { endRun } from '@mayfly/core/engine'
import { describe, expect, test } from 'vitest'
import { cgroupsNamed, until, useBench } from './bench.js'

/** Where cgroups come from on this machine: told by who starts the tests, root's otherwise. */
const world = process.env['MAYFLY_TEST_CGROUPS'] ?? 'root'
const v2 = existsSync('/sys/fs/cgroup/cgroup.controllers')
const bench = useBench()
const sleep = { command: ['sleep', '1000'] }

/** The value of a limit as the container sees it. */
function limitFile(name: 'memory' | 'pids' | 'cpu'): string {
  const v1 = { memory: 'memory/memory.limit_in_bytes', pids: 'pids/pids.max', cpu: 'cpu/cpu.cfs_quota_us' }
  return v2 ? `/sys/fs/cgroup/${name}.max` : `/sys/fs/cgroup/${v1[name]}`
}

/** The run of this process: those that ended have no directory any more. */
function runId(): string {
  return readdirSync(join(bench.home, 'home/runs')).find((name) => /^[0-9a-f]{12}$/.test(name)) ?? ''
}

if (world === 'none') describe('without a cgroup to write to', withoutCgroups)
else describe(`with cgroups (${world}, ${v2 ? 'v2' : 'v1'})`, withCgroups)

function withoutCgroups(): void {
  test('containers run', async () => {
    await using container = await run('busybox', sleep)
    expect((await container.exec(['true'])).exitCode).toBe(0)
  })

  test.each([{ memory: '64m' }, { cpus: 1 }, { pids: 10 }])('a limit that was asked for is refused: %o', async (limit) => {
    await expect(run('busybox', { ...sleep, ...limit })).rejects.toMatchObject({ code: 'ERR_MAYFLY_LIMIT_UNSUPPORTED' })
    await using container = await run('busybox', sleep)
    await expect(container.update(limit)).rejects.toMatchObject({ code: 'ERR_MAYFLY_LIMIT_UNSUPPORTED' })
  })
}

function withCgroups(): void {
  test('limits stand in the files the kernel reads, and the container sees its own', async () => {
    await using container = await run('busybox', { ...sleep, memory: '64m', cpus: 0.5, pids: 100 })
    const { stdout } = await container.exec(['cat', limitFile('memory'), limitFile('pids'), limitFile('cpu')])
    expect(stdout.trim().split(/\s+/)).toEqual([String(64 << 20), '100', '50000', ...(v2 ? ['100000'] : [])])
  })

  test('limits change while it runs, all that were named or none', async () => {
    await using container = await run('busybox', { ...sleep, memory: '64m', cpus: 0.5 })
    const limits = async () => (await container.exec(['cat', limitFile('memory'), limitFile('pids'), limitFile('cpu')])).stdout.trim().split(/\s+/)
    const cpu = (quota: string) => [quota, ...(v2 ? ['100000'] : [])]
    await container.update({ memory: '128m', pids: 50 })
    expect(await limits()).toEqual([String(128 << 20), '50', ...cpu('50000')])
    await container.update({ memory: '48m', cpuQuota: 20_000 })
    expect(await limits()).toEqual([String(48 << 20), '50', ...cpu('20000')])
    // More than the kernel counts.
    await expect(container.update({ memory: '96m', pids: 2 ** 40 })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
    await expect(container.update({ memory: '96m', memorySwap: '10m' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID', message: expect.stringContaining('contradict') as string })
    expect(await limits()).toEqual([String(48 << 20), '50', ...cpu('20000')])
    await container.restart({ timeout: 0 })
    expect(await limits()).toEqual([String(48 << 20), '50', ...cpu('20000')])
  })

  test('a process that wants more memory than the limit is ended, and the container says so', async () => {
    await using container = await run('busybox', { command: ['tail', '/dev/zero'], memory: '32m' })
    expect(await container.exit).toMatchObject({ signal: 'SIGKILL', oomKilled: true })
  })

  test('a process inside that is ended for memory is told of, too', async () => {
    await using container = await run('busybox', { command: 'tail /dev/zero; exit 7', memory: '32m' })
    expect(await container.exit).toMatchObject({ code: 7, oomKilled: true })
  })

  test('no more processes than allowed', async () => {
    await using container = await run('busybox', { ...sleep, pids: 5 })
    const { stderr } = await container.exec(['sh', '-c', 'for i in 1 2 3 4 5 6 7 8; do sleep 100 >/dev/null 2>&1 & done'])
    expect(stderr).toMatch(/can't fork|Resource temporarily unavailable/)
  })

  test('a paused container does nothing until it may', async () => {
    await using container = await run('busybox', { command: 'while :; do :; done' })
    const cpu = async () => (await container.stats()).cpu
    const before = await cpu()
    await until(async () => await cpu() > before)
    await container.pause()
    const paused = await cpu()
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(await cpu()).toBe(paused)
    await container.unpause()
    await until(async () => await cpu() > paused)
  })

  test('statistics count the container, and only it', async () => {
    await using container = await run('busybox', { command: 'dd if=/dev/zero of=/dev/shm/a bs=1M count=20; rm /dev/shm/a; exec sleep 1000', memory: '200m' })
    await until(async () => (await container.stats()).memoryPeak > 20 << 20)
    await until(async () => {
      const { memory, pids } = await container.stats()
      return memory < 15 << 20 && pids === 1
    })
    expect((await container.stats()).cpu).toBeGreaterThan(0)
  })

  test('the cgroups are where this machine lets us have them', async () => {
    const before = ownCgroup()
    await using container = await run('busybox', { ...sleep, memory: '64m' })
    expect((await container.exec(['true'])).exitCode).toBe(0)
    const id = runId()
    const found = cgroupsNamed(`mayfly-${id}`)
    if (!v2) return expect(found.length).toBeGreaterThan(1)
    const place = {
      root: [`/mayfly-${id}`],
      container: [`/mayfly-${id}`],
      // The scope, and the run's directory in it.
      asked: [expect.stringMatching(/\/user@\d+\.service\/app\.slice\/mayfly-\w+\.scope$/), expect.stringMatching(new RegExp(`\\.scope/mayfly-${id}$`))],
      delegated: [`${before.replace(/\/mayfly-leaf$/, '')}/mayfly-${id}`],
    }[world]
    expect(found.map((path) => path.slice('/sys/fs/cgroup'.length))).toEqual(place)
    // Whoever was in the way moved; nobody else did.
    expect(ownCgroup()).toBe(world === 'delegated' || world === 'container' ? `${before.replace(/\/(mayfly-leaf)?$/, '')}/mayfly-leaf` : before)
  })

  if (v2) test('without the newer system calls, too', async () => {
    await endRun()
    process.env['MAYFLY_NATIVE_OFF'] = 'clone_into_cgroup,cgroup_kill'
    try {
      await using container = await run('busybox', { command: 'tail /dev/zero; exec sleep 1000', memory: '32m' })
      expect(await container.exec(['cat', limitFile('memory')])).toMatchObject({ exitCode: 0, stdout: `${32 << 20}\n` })
      await until(async () => (await container.stats()).pids === 1)
      await container.kill()
      expect(await container.exit).toMatchObject({ oomKilled: true })
    } finally {
      delete process.env['MAYFLY_NATIVE_OFF']
      await endRun()
    }
  })

  if (world === 'asked') test('where systemd may not be asked, limits are refused', async () => {
    await endRun()
    process.env['MAYFLY_NATIVE_OFF'] = 'systemd'
    try {
      await expect(run('busybox', { ...sleep, memory: '64m' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_LIMIT_UNSUPPORTED' })
    } finally {
      delete process.env['MAYFLY_NATIVE_OFF']
      await endRun()
    }
  })

  test('nothing stays of a run that ended', async () => {
    const container = await run('busybox', { ...sleep, memory: '64m' })
    const id = runId()
    expect(cgroupsNamed(id)).not.toEqual([])
    await container.stop({ timeout: 0 })
    await endRun()
    await until(() => cgroupsNamed(id).length === 0)
    await until(() => cgroupsNamed('mayfly-leaf').length === 0)
  })

  test('nothing stays of a run whose owner was killed', async () => {
    await endRun()
    const owner = spawn(process.execPath, [join(import.meta.dirname, 'owner.mjs')], { stdio: ['ignore', 'pipe', 'inherit'] })
    const id = await new Promise<string>((resolve) => owner.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim())))
    expect(id).toMatch(/^[0-9a-f]{12}$/)
    expect(cgroupsNamed(id)).not.toEqual([])
    owner.kill('SIGKILL')
    await until(() => cgroupsNamed(id).length === 0)
  })
}

/** The cgroup this process is in, on v2. */
function ownCgroup(): string {
  return /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? ''
}
