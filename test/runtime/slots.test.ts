import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { forgetImage, obtainImage } from '../../packages/core/src/container/image.js'
import { currentRun, endRun, run, type Container, type WaitStrategy } from '../../packages/core/src/container/index.js'
import { listContainers } from '../../packages/core/src/container/runs.js'
import { decodeList, METHOD, type ListedContainer } from '../../packages/core/src/native/index.js'
import { openBench, type Bench } from '../jest/runner.js'

const executed: WaitStrategy = { description: 'its execution', acceptsExit: true, ready: () => Promise.resolve() }
const sleeper = { command: ['sleep', '600'], ready: executed }

let bench: Bench
beforeAll(async () => {
  bench = await openBench()
  Object.assign(process.env, { MAYFLY_HOME: bench.environment['MAYFLY_HOME'], MAYFLY_REGISTRY_MIRROR: bench.environment['MAYFLY_REGISTRY_MIRROR'] })
})
afterAll(async () => {
  await endRun()
  await bench.close()
})

/** Every container the supervisor knows, slots included. */
async function known(): Promise<ListedContainer[]> {
  return decodeList(await (await currentRun()).connection.request(METHOD.list))
}

/**
 * The slots once there are so many and they are all prepared: a supervisor answers a creation when its list has run up to
 * the wait.
 */
async function slots(count?: number): Promise<string[]> {
  for (;;) {
    const all = (await known()).filter(({ label }) => label.length === 0)
    const there = count === undefined ? all.length > 0 : all.length === count
    if (there && all.every(({ state }) => state === 'waiting')) return all.map(({ id }) => id)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

async function shellOf(container: Container, script: string): Promise<string> {
  return (await container.exec(['sh', '-c', script])).stdout
}

test('a start takes the waiting slot, and another one takes its place', async () => {
  const [first] = await slots()
  await using container = await run('busybox', sleeper)
  expect(container.id).toBe(first)
  const [second, ...others] = await slots()
  expect(second).not.toBe(first)
  expect(others).toEqual([])
  const { stdout } = await container.exec(['hostname'])
  expect(stdout.trim()).toBe(container.id.slice(0, 12))
})

test('slots are in no list of containers', async () => {
  const waiting = await slots()
  await using container = await run('busybox', sleeper)
  const listed = (await listContainers()).map(({ id }) => id)
  expect(listed).toContain(container.id)
  for (const id of await slots()) expect(listed).not.toContain(id)
  expect(waiting).toContain(container.id)
})

test('a kind of container that starts again finds its root file system made, and sends its program alone', async () => {
  await endRun()
  const { connection } = await currentRun()
  const request = vi.spyOn(connection, 'request')
  const sent = (): number => request.mock.calls.findLast(([method]) => method === METHOD.start)?.[1]?.length ?? 0
  const kind = { ...sleeper, workdir: '/of/its/own', hostname: 'alike' }
  const whole: number[] = []
  for (let start = 0; start < 2; start += 1) {
    await using _container = await run('busybox', kind)
    whole.push(sent())
  }
  const before = await slots(2)
  await using container = await run('busybox', { ...kind, command: ['sh', '-c', 'echo $A; exec sleep 600'], env: { A: 'b' }, name: 'third' })
  expect(before).toContain(container.id)
  expect(sent()).toBeLessThan(Math.min(...whole) / 2)
  expect((await container.exec(['sh', '-c', 'pwd; hostname; tr "\\0" " " < /proc/1/cmdline; touch /x; ls /x'])).stdout).toBe('/of/its/own\nalike\nsleep 600 /x\n')
  // Each has a root of its own.
  await slots(2)
  await using next = await run('busybox', kind)
  expect((await next.exec(['test', '-e', '/x'])).exitCode).toBe(1)
  // Another kind is served by what fits many.
  await using other = await run('busybox', { ...kind, hostname: 'different' })
  expect(await shellOf(other, 'hostname; pwd')).toBe('different\n/of/its/own\n')
})

test('a slot of an image that is another by now is not handed out', async () => {
  await endRun()
  await using origin = await run('busybox', sleeper)
  const commit = (...changes: string[]): Promise<unknown> => origin.commit({ name: 'changing', changes })
  await commit('WORKDIR /before')
  for (let start = 0; start < 2; start += 1) await (await run('changing', sleeper))[Symbol.asyncDispose]()
  await slots(2)
  await commit('WORKDIR /after', 'VOLUME /made/meanwhile')
  forgetImage(await obtainImage('changing', {}))
  await using container = await run('changing', sleeper)
  expect(await shellOf(container, 'pwd; ls /made')).toBe('/after\nmeanwhile\n')
})

test('slots are kept of the kinds that were started last', async () => {
  await endRun()
  for (const hostname of ['one', 'two', 'three', 'four', 'five']) {
    for (let start = 0; start < 2; start += 1) await (await run('busybox', { ...sleeper, hostname }))[Symbol.asyncDispose]()
  }
  expect(await slots(4)).toHaveLength(4)
  await endRun()
})

test('what a slot cannot give is started afresh, and the slot stays for the next', async () => {
  const [waiting] = await slots()
  await using large = await run('busybox', { ...sleeper, shmSize: '128m' })
  expect(large.id).not.toBe(waiting)
  expect((await large.exec(['df', '-k', '/dev/shm'])).stdout).toMatch(/\b131072\b/)
  await using plain = await run('busybox', sleeper)
  expect(plain.id).toBe(waiting)
})

test('options hold in a slot as they do without', async () => {
  const [waiting] = await slots()
  await using container = await run('busybox', { ...sleeper, hostname: 'elsewhere', env: { A: 'b' }, workdir: '/tmp/new', readonly: true })
  expect(container.id).toBe(waiting)
  expect(await shellOf(container, 'hostname; echo $A; pwd')).toBe('elsewhere\nb\n/tmp/new\n')
  expect((await container.exec(['touch', '/x'])).exitCode).not.toBe(0)
})

// Without a cgroup a limit is refused: cgroup.test.ts.
test.runIf(process.env['MAYFLY_TEST_CGROUPS'] !== 'none')('limits hold in a slot as they do without', async () => {
  const [waiting] = await slots()
  await using container = await run('busybox', { ...sleeper, memory: '32m', pids: 20 })
  expect(container.id).toBe(waiting)
  const { stdout } = await container.exec(['sh', '-c', 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null'])
  expect(stdout).toBe(`${32 * 2 ** 20}\n`)
})

test('a burst widens the pool to its size', async () => {
  const containers = await Promise.all(Array.from({ length: 4 }, () => run('busybox', sleeper)))
  await Promise.all(containers.map((one) => one[Symbol.asyncDispose]()))
  // And as many of their kind.
  expect(await slots(8)).toHaveLength(8)
})

test('a slot that died is not handed out', async () => {
  const waiting = await slots()
  const { hello } = await currentRun()
  const children = readFileSync(`/proc/${hello.supervisorPid}/task/${hello.supervisorPid}/children`, 'utf8').trim().split(' ').map(Number)
  expect(children).toHaveLength(waiting.length)
  for (const pid of children) process.kill(pid, 'SIGKILL')
  while ((await known()).some(({ id }) => waiting.includes(id))) await new Promise((resolve) => setTimeout(resolve, 1))
  await using container = await run('busybox', sleeper)
  expect(waiting).not.toContain(container.id)
  expect((await container.exec(['true'])).exitCode).toBe(0)
})

test('a failing start from a slot says which operation failed, and leaves nothing', async () => {
  await slots()
  await expect(run('busybox', { ...sleeper, command: ['no-such-command'] })).rejects.toMatchObject({ code: 'ERR_MAYFLY_COMMAND_NOT_FOUND' })
  await expect(run('busybox', { ...sleeper, mounts: [{ source: '/no/such', target: '/x' }] })).rejects.toMatchObject({ details: { option: 'mounts', path: '/no/such' } })
  expect((await known()).filter(({ label }) => label.length > 0)).toEqual([])
})

test('MAYFLY_SLOTS=0 turns them off, and nonsense is refused', () => {
  const engine = new URL('../../packages/core/dist/engine.js', import.meta.url).href
  const script = `
    import { readFileSync, readdirSync } from 'node:fs'
    import { run } from ${JSON.stringify(engine)}
    const container = await run('busybox', { command: ['sleep', '600'] })
    const stat = (pid) => { try { return readFileSync('/proc/' + pid + '/stat', 'utf8') } catch { return '' } }
    const children = (of) => readdirSync('/proc').filter((pid) => stat(pid).split(') ')[1]?.split(' ')[1] === String(of))
    const [supervisor] = children(process.pid).flatMap(children)
    console.log(children(supervisor).length)
    await container.stop({ timeout: 0 })
  `
  const node = (slots: string): string =>
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { env: { ...bench.environment, MAYFLY_SLOTS: slots }, encoding: 'utf8', stdio: 'pipe' })
  expect(node('0')).toBe('1\n')
  expect(() => node('x')).toThrow(/ERR_MAYFLY_OPTION_INVALID/)
})
