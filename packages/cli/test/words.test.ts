import { describe, expect, test } from 'vitest'

import { commandLine } from '../src/program.js'
import { parseTime } from '../src/time.js'
import { withoutValues } from '../src/words.js'

const program = commandLine()
const words = (text: string): string => withoutValues(program, text.split(' ')).join(' ')

describe('flags with values', () => {
  test.each([
    ['run --rm=true --name=x busybox echo --rm=true', 'run --rm --name=x busybox echo --rm=true'],
    ['run --rm=false -e A=1 busybox', 'run -e A=1 busybox'],
    ['run --env --rm=true busybox', 'run --env --rm=true busybox'],
    ['run --sig-proxy=false -it busybox', 'run --no-sig-proxy -it busybox'],
    ['commit --pause=false a b', 'commit --no-pause a b'],
    ['commit a --pause=true b', 'commit a --pause b'],
    ['container ls --no-trunc=1 -a', 'container ls --no-trunc -a'],
    ['ps --no-trunc=false', 'ps'],
    ['stop -t 3 a', 'stop -t 3 a'],
    ['exec a env --tty=true', 'exec a env --tty=true'],
  ])('%s', (given, wanted) => {
    expect(words(given)).toBe(wanted)
  })
})

describe('times', () => {
  const now = Date.UTC(2026, 0, 31, 12)
  test.each([
    ['1767225600', Date.UTC(2026, 0, 1)], ['1767225600.5', Date.UTC(2026, 0, 1) + 500], ['10m', now - 600_000], ['1h30m', now - 5_400_000],
    ['2026-01-02T03:04:05Z', Date.UTC(2026, 0, 2, 3, 4, 5)], ['2026-01-02T03:04:05.123456789Z', Date.UTC(2026, 0, 2, 3, 4, 5, 123)],
    ['2026-01-02T03:04:05+01:00', Date.UTC(2026, 0, 2, 2, 4, 5)], ['2026-01-02', new Date(2026, 0, 2).getTime()],
  ])('%s', (text, wanted) => {
    expect(parseTime(text, now)).toBe(wanted)
  })
  test.each(['', 'soon', '2026', '10', '3w', '2026-13-01T00:00:00Z'].filter((text) => !/^\d+$/.test(text)))('%s is none', (text) => {
    expect(() => parseTime(text, now)).toThrow('Invalid time')
  })
})
