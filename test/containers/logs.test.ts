// A container's log: whose lines, from when to when, how many, in which form.
import { afterAll, expect, test } from 'vitest'
import { endRun, run, wait, type Container, type LogOptions } from '../../packages/core/src/container/index.js'
import { useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)

async function lines(container: Container, options?: LogOptions): Promise<string[]> {
  const all: string[] = []
  for await (const { text } of container.logs(options)) all.push(text)
  return all
}

test('since, until, tail, one stream or both, with their times', async () => {
  await using container = await run('busybox', { command: 'echo a; echo b >&2; sleep 0.3; echo c; echo d >&2; sleep 0.3; echo e', ready: wait.completed() })
  expect((await lines(container)).sort()).toEqual(['a', 'b', 'c', 'd', 'e'])
  expect(await lines(container, { stream: 'stdout' })).toEqual(['a', 'c', 'e'])
  expect(await lines(container, { stream: 'stderr' })).toEqual(['b', 'd'])
  expect(await lines(container, { stream: 'stdout', tail: 2 })).toEqual(['c', 'e'])
  expect(await lines(container, { tail: 0 })).toEqual([])
  const times = new Map<string, Date>()
  for await (const { text, time } of container.logs()) times.set(text, time)
  const [c, e] = [times.get('c') ?? new Date(), times.get('e') ?? new Date()]
  expect(await lines(container, { since: c, stream: 'stdout' })).toEqual(['c', 'e'])
  expect(await lines(container, { until: c, stream: 'stdout' })).toEqual(['a'])
  expect(await lines(container, { since: c.getTime(), until: e.getTime(), stream: 'stdout' })).toEqual(['c'])
  const [stamped = ''] = await lines(container, { stream: 'stdout', tail: 1, timestamps: true })
  expect(stamped).toBe(`${e.toISOString()} e`)
  let text = ''
  for await (const piece of container.logs({ stream: 'stdout', timestamps: true }).stream()) text += String(piece)
  expect(text).toMatch(/^(\d{4}-\d\d-\d\dT[\d:.]+Z [ace]\n){3}$/)
})

test('followed to a time, or to the end, and complete after it', async () => {
  await using container = await run('busybox', { command: 'echo up; while test ! -e /tmp/go; do sleep 0.01; done; seq 1 5000; printf "no line end"', ready: wait.log('up') })
  const began = Date.now()
  expect(await lines(container, { follow: true, until: began + 200 })).toEqual(['up'])
  expect(Date.now() - began).toBeGreaterThanOrEqual(195)
  const following = lines(container, { follow: true, tail: 0 })
  const streamed = container.logs({ follow: true }).stream().toArray()
  await container.exec(['touch', '/tmp/go'])
  const expected = [...Array.from({ length: 5000 }, (_, at) => String(at + 1)), 'no line end']
  expect(await following).toEqual(expected)
  expect(Buffer.concat(await streamed).toString()).toBe(['up', ...expected, ''].join('\n'))
  await container.exit
  expect(await lines(container)).toEqual(['up', ...expected])
})

test('a slow reader of many lines loses none, and holds up nobody', async () => {
  // 40,000 lines in about a second, which is read at its own pace.
  await using container = await run('busybox', { command: 'seq 1 40000; echo over >&2; while test ! -e /tmp/go; do sleep 0.01; done', ready: wait.log('over') })
  expect((await container.exec(['true'])).exitCode).toBe(0)
  let next = 1
  for await (const { text } of container.logs({ follow: true, stream: 'stdout' })) {
    if (text !== String(next)) throw new Error(`${text} instead of ${next}`)
    next += 1
    if (next % 4000 === 0) {
      // Commands are answered while somebody reads slowly.
      expect((await container.exec(['echo', 'here'])).stdout).toBe('here\n')
      if (next === 40_000) await container.exec(['touch', '/tmp/go'])
    }
  }
  expect(next).toBe(40_001)
}, 60_000)

test('who prints line after line is read once a millisecond, and a log that is asked for has all of it', async () => {
  // Prints the next line as soon as the one before was read.
  const print = 'use IO::Handle; STDOUT->autoflush(1); for my $i (1 .. 1000) { print "$i\\n"; my $left = pack("i", 1); ioctl(STDOUT, 0x541B, $left) while unpack("i", $left) } print "and the last"; open my $f, ">", "/tmp/done"; sleep 1000'
  await using container = await run('debian', { command: ['perl', '-e', print] })
  await container.exec(['sh', '-c', 'until test -e /tmp/done; do sleep 0.02; done'])
  const times: Date[] = []
  for await (const { text, time } of container.logs()) expect(text).toBe(times.push(time) > 1000 ? 'and the last' : String(times.length))
  expect(times).toHaveLength(1001)
  // Woken for each, they come twenty in a millisecond.
  expect(Number(times.at(-1)) - Number(times[100])).toBeGreaterThan(300)
}, 30_000)

test('options of another form are refused', async () => {
  await using container = await run('busybox', { command: ['sleep', '1000'] })
  for (const options of [{ tail: -1 }, { tail: 1.5 }, { since: Number.NaN }, { until: new Date('never') }, { since: 2, until: 1 }, { stream: 'both' as never }]) {
    expect(() => container.logs(options)).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID' }))
  }
})
