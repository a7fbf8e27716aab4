import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { currentRun, run, wait, type Container } from '../../packages/core/src/container/index.js'
import { executed, openPlace, sh, sleeper, type Place } from '../security/place.js'

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(() => place.close())

/** The supervisor's resident memory in KiB. */
async function memory(): Promise<number> {
  const { hello } = await currentRun()
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${hello.supervisorPid}/status`, 'utf8'))?.[1])
}

test('a fork bomb stops at its limit, and its neighbours go on', async () => {
  await using neighbour = await run('busybox', sleeper)
  // That it was refused is what stays to be seen: whoever is, ends, and there may never be as many again.
  await using bomb = await run('busybox', { command: 'b() { b | b & }; b; exec sleep 600', pids: 64, ready: wait.log(/can't fork/) })
  expect((await bomb.stats()).pids).toBeLessThanOrEqual(64)
  expect((await neighbour.exec(['echo', 'alive'])).stdout).toBe('alive\n')
  const began = performance.now()
  await bomb.stop({ timeout: 0 })
  expect(performance.now() - began).toBeLessThan(5000)
})

test('a memory hog is killed for it, and nobody else is', async () => {
  await using neighbour = await run('busybox', { ...sleeper, memory: '32m' })
  await using hog = await run('busybox', { command: ['tail', '/dev/zero'], memory: '32m', ready: executed })
  expect(await hog.exit).toMatchObject({ signal: 'SIGKILL', oomKilled: true })
  expect((await neighbour.exec(['echo', 'alive'])).stdout).toBe('alive\n')
})

test('who ignores SIGTERM is killed when its time is up', async () => {
  await using container = await run('busybox', { command: 'trap "" TERM; echo ready; while :; do sleep 1; done', ready: executed })
  for await (const { text } of container.logs({ follow: true })) if (text === 'ready') break
  const began = performance.now()
  await container.stop({ timeout: 300 })
  const took = performance.now() - began
  expect(took).toBeGreaterThan(295)
  expect(took).toBeLessThan(3000)
  expect(await container.exit).toMatchObject({ signal: 'SIGKILL', oomKilled: false })
})

describe('two gigabytes of log', () => {
  const LINE = 'x'.repeat(1023)
  let flood: Container
  beforeAll(async () => {
    // The line's number ends each megabyte, so that what is lost can be told.
    flood = await run('busybox', { command: `yes ${LINE} | head -n ${2 * 2 ** 20}; echo the end`, ready: executed })
  })
  afterAll(() => flood[Symbol.asyncDispose]())

  test('leave the supervisor small, and no reader who is slow holds up others', { timeout: 120_000 }, async () => {
    const slow = flood.logs({ follow: true })[Symbol.asyncIterator]()
    await slow.next()
    await using other = await run('busybox', { ...sleeper })
    let most = 0
    let over = false
    void flood.exit.then(() => { over = true })
    while (!over) {
      most = Math.max(most, await memory())
      expect((await other.exec(['true'])).exitCode).toBe(0)
    }
    expect(most).toBeLessThan(64 * 1024)
    await slow.return?.(undefined)
  })

  test('keep the newest 10 MiB whole, behind a mark for the rest', async () => {
    let kept = 0
    let marks = 0
    let lost = 0
    let last = ''
    for await (const { text, dropped } of flood.logs()) {
      if (dropped !== undefined) {
        marks += 1
        lost += dropped
        expect(text).toContain(`${dropped} bytes`)
      } else {
        kept += text.length + 1
        last = text
      }
    }
    expect(last).toBe('the end')
    expect(marks).toBe(1)
    expect(kept).toBeGreaterThan(9 * 2 ** 20)
    // What is dropped and what is kept is all there was, but for the records' own headers.
    expect((kept + lost) / 2 ** 31).toBeCloseTo(1, 2)
  })
})

test('within the cap no line is lost, however fast it comes', async () => {
  await using container = await run('busybox', { command: 'seq 1 500000', ready: executed })
  let next = 1
  for await (const { text } of container.logs({ follow: true })) expect(Number(text)).toBe(next++)
  expect(next).toBe(500_001)
})

test('an exec into a container that is dying ends or is refused, and never hangs', async () => {
  for (let round = 0; round < 20; round += 1) {
    await using container = await run('busybox', { command: ['sleep', '600'], ready: executed })
    const commands = Array.from({ length: 4 }, () => container.exec(['sleep', '600']).then(({ exitCode }) => exitCode, ({ code }: { code: string }) => code))
    await container.kill()
    for (const how of await Promise.all(commands)) expect([137, 'ERR_MAYFLY_NOT_RUNNING', 'ERR_MAYFLY_NATIVE_FAILED']).toContain(how)
  }
})

test('a runner that stands still for 30 seconds loses nothing', { timeout: 90_000 }, async () => {
  const script = `
    import { run } from '@mayfly/core/engine'
    const container = await run('busybox', { command: 'while :; do date +%s; sleep 0.2; done' , ready: { description: '', ready: async () => undefined } })
    console.log('ready')
    process.stdin.once('data', async () => {
      const { stdout } = await container.exec(['echo', 'still there'])
      let lines = 0
      for await (const _ of container.logs()) lines += 1
      console.log(stdout.trim(), lines)
      process.exit(0)
    })
  `
  const runner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: runner.stdout })[Symbol.asyncIterator]()
  expect((await lines.next()).value).toBe('ready')
  runner.kill('SIGSTOP')
  // This time is the test: no watchdog of ours may take it for an end.
  await new Promise((resolve) => setTimeout(resolve, 30_000))
  runner.kill('SIGCONT')
  runner.stdin.write('\n')
  const [words, count] = /^(.*) (\d+)$/.exec(String((await lines.next()).value))?.slice(1) ?? []
  expect(words).toBe('still there')
  // A line every fifth of a second, and as many again in reserve for a busy machine.
  expect(Number(count)).toBeGreaterThanOrEqual(75)
  await once(runner, 'exit')
})

test('a hundred runs in as many processes', { timeout: 120_000 }, async () => {
  const script = `
    import { run } from '@mayfly/core/engine'
    const container = await run('busybox', { command: ['sleep', '600'] })
    const { stdout } = await container.exec(['hostname'])
    console.log(stdout.trim() === container.id.slice(0, 12) ? 'right' : stdout)
    await container.stop({ timeout: 0 })
  `
  const outcomes: string[] = []
  const one = async (): Promise<void> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => { text += chunk.toString() })
    const [code] = await once(child, 'close') as [number]
    outcomes.push(`${code} ${text.trim()}`)
  }
  // All alive at once would measure Node's start; twenty at a time is what a CI machine sees.
  const queue = Array.from({ length: 100 }, () => one)
  await Promise.all(Array.from({ length: 20 }, async () => {
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) await next()
  }))
  expect(outcomes).toEqual(Array.from({ length: 100 }, () => '0 right'))
})

/** `npm run test:soak`: 10,000 of them. */
const CYCLES = Number(process.env['MAYFLY_TEST_CYCLES'] ?? 300)

test(`${CYCLES} cycles of start, exec and removal leave nothing to grow`, { timeout: Math.max(60_000, CYCLES * 200) }, async () => {
  const { hello, dir } = await currentRun()
  const counted = (text: string): number => Number(execFileSync('sh', ['-c', text], { encoding: 'utf8' }))
  const descriptors = (): number => counted(`ls /proc/${hello.supervisorPid}/fd | wc -l`)
  // Of the machine, whoever else uses it: what every cycle leaves shows above what others do meanwhile.
  const cgroups = (): number => counted(`find /sys/fs/cgroup -path '*${basename(dir)}*' -type d | wc -l`)
  const cycle = async (): Promise<void> => {
    await using container = await run('busybox', sleeper)
    await sh(container, 'true')
  }
  for (let warm = 0; warm < 20; warm += 1) await cycle()
  const before = { memory: await memory(), descriptors: descriptors(), cgroups: cgroups(), own: process.memoryUsage().heapUsed }
  for (let round = 0; round < CYCLES; round += 1) await cycle()
  expect(await memory() - before.memory).toBeLessThan(512)
  expect(descriptors() - before.descriptors).toBeLessThanOrEqual(4)
  expect(cgroups() - before.cgroups).toBeLessThanOrEqual(8 * 16)
  process.stdout.write(`after ${CYCLES} cycles: supervisor ${await memory() - before.memory} KiB, ${descriptors() - before.descriptors} descriptors, ${cgroups() - before.cgroups} cgroups more; this process ${Math.round((process.memoryUsage().heapUsed - before.own) / 1024)} KiB\n`)
})
