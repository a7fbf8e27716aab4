// What is asked of a container while it ends: commands, copies, logs. Run as root and as an ordinary user.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { endRun, run, wait } from '../../packages/core/src/container/index.js'
import { currentRun } from '../../packages/core/src/container/supervision.js'
import { until, useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)

/** Ends only when /tmp/go is there, and says so when it is asked to end. */
const reluctant = { command: ['sh', '-c', 'trap "touch /tmp/asked" TERM; echo up; while test ! -e /tmp/go; do sleep 0.01; done; exit 5'], ready: wait.log('up') }

test('commands run while it is being stopped, as long as it lives, and end with it', async () => {
  await using container = await run('busybox', reluctant)
  const early = container.exec(['sh', '-c', 'while :; do sleep 1; done'])
  const stopping = container.stop({ timeout: 60_000, remove: false })
  await until(async () => (await container.exec(['test', '-e', '/tmp/asked'])).exitCode === 0)
  expect(await container.exec(['echo', 'still here'])).toMatchObject({ exitCode: 0, stdout: 'still here\n' })
  const process = await container.spawn(['cat'])
  await container.exec(['touch', '/tmp/go'])
  await stopping
  expect(await container.exit).toMatchObject({ code: 5, signal: undefined })
  // They share its pid namespace, whose end is theirs.
  expect(await early).toMatchObject({ exitCode: 137 })
  expect(await process.exit).toMatchObject({ signal: 'SIGKILL' })
  await expect(container.exec(['true'])).rejects.toMatchObject({ code: 'ERR_MAYFLY_NOT_RUNNING' })
})

test('commands for one that dies at this very moment run, end with it, or say that it has ended', async () => {
  const outcomes = new Set<string>()
  for (let round = 0; round < 12; round += 1) {
    await using container = await run('busybox', { command: ['sleep', '1000'] })
    const asked = Array.from({ length: 8 }, async (_, at) => {
      await new Promise((resolve) => setImmediate(resolve))
      if (at === 3) void container.kill()
      return container.exec(['echo', 'here']).then(({ exitCode, stdout }) => {
        expect([[0, 'here\n'], [137, 'here\n'], [137, '']]).toContainEqual([exitCode, stdout])
        return `exit ${exitCode}`
      }, (error: { code?: string }) => String(error.code))
    })
    for (const outcome of await Promise.all(asked)) outcomes.add(outcome)
    await container.exit
  }
  expect([...outcomes].filter((one) => !['exit 0', 'exit 137', 'ERR_MAYFLY_NOT_RUNNING'].includes(one))).toEqual([])
})

test('a container that dies in the middle of a copy ends neither the copy nor what it copies', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-test-'))
  try {
    await using container = await run('busybox', { command: ['sleep', '1000'] })
    await container.exec(['dd', 'if=/dev/zero', 'of=/large', 'bs=1M', 'count=64'])
    // Its files outlive its processes; with its removal they are gone.
    const archive = await container.archive('/large')
    const first = await new Promise<Buffer>((resolve) => archive.once('data', (bytes: Buffer) => { archive.pause(); resolve(bytes) }))
    await container.kill()
    await container.exit
    let size = first.length
    for await (const bytes of archive as AsyncIterable<Buffer>) size += bytes.length
    expect(size).toBeGreaterThan(64 << 20)
    await container.copyOut('/large', join(directory, 'whole'))

    const half = await container.archive('/large')
    await new Promise<void>((resolve) => half.once('data', () => { half.pause(); resolve() }))
    const out = container.copyOut('/large', join(directory, 'half'))
    const outcome = out.then(() => 'whole', (error: { code?: string }) => String(error.code))
    await container[Symbol.asyncDispose]()
    await expect((async () => { for await (const _ of half) continue })()).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_MAYFLY_/) as string })
    const how = await outcome
    // Whole or not at all.
    expect(readdirSync(directory).sort()).toEqual(how === 'whole' ? ['half', 'whole'] : ['whole'])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

test('a reader that is slower than 10,000 lines a second: nothing is lost below the cap, what is above it is told, and memory stays bounded', async () => {
  const line = 'x'.repeat(90)
  const count = 200_000
  // 20 s of 10,000 lines a second, as fast as they go: 20 MB, of which 10 MiB are kept.
  await using container = await run('busybox', { command: ['sh', '-c', `echo up; while test ! -e /tmp/go; do sleep 0.01; done; awk 'BEGIN { for (i = 1; i <= ${count}; i += 1) printf "%06d ${line}\\n", i }'; echo end; exec sleep 1000`], ready: wait.log('up') })
  const { hello } = await currentRun()
  const memory = (): number => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${hello.supervisorPid}/status`, 'utf8'))?.[1])
  const before = memory()
  let most = 0
  const slowly = async (): Promise<void> => {
    most = Math.max(most, memory())
    await new Promise((resolve) => { setTimeout(resolve, 20) })
  }
  const total = 'up\n'.length + count * (line.length + 8) + 'end\n'.length
  const bytes = (async () => {
    let [read, told, pieces] = [0, 0, 0]
    for await (const { bytes, dropped = 0 } of container.output({ follow: true })) {
      read += bytes.length
      told += dropped
      pieces += 1
      if (pieces % 200 === 0) await slowly()
      if (read + told >= total) break
    }
    return [read, told] as const
  })()
  const lines = (async () => {
    let [seen, next, cut] = [0, 1, false]
    for await (const { text, dropped } of container.logs({ follow: true })) {
      if (text === 'end') break
      const number = Number(/^(\d{6}) x{90}$/.exec(text)?.[1])
      if (dropped !== undefined) cut = true
      if (Number.isNaN(number)) continue
      // None is left out without a word.
      if (!cut) expect(number).toBe(next)
      ;[seen, next, cut] = [seen + 1, number + 1, false]
      if (seen % 2000 === 0) await slowly()
    }
    return seen
  })()
  await container.exec(['touch', '/tmp/go'])
  const [read, told] = await bytes
  expect(read + told).toBe(total)
  expect(read).toBeGreaterThan(9 << 20)
  expect(await lines).toBeGreaterThan(90_000)
  expect(most - before).toBeLessThan(40 << 10)
}, 60_000)
