import { EventEmitter } from 'node:events'
import { describe, expect, test } from 'vitest'

import { colours, hasBars, onTerminal, openProgress, picture, type Bar } from '../src/progress.js'

const bar = (name: string, word: string, done = 0, total = 0, finished = false): Bar => ({ name, word, done, total, finished })

/** What a terminal shows of what is written to it: lines, moves up, and deletions. */
class Screen extends EventEmitter {
  readonly isTTY = true
  written = ''
  lines: string[] = ['']
  #row = 0
  constructor(public columns: number, public rows: number) { super() }
  write(text: string): boolean {
    this.written += text
    for (const [, code, plain] of text.matchAll(/(\x1b\[\d*[A-Za-z]|\r|\n)|([^\x1b\r\n]+)/g)) {
      if (code === '\n') this.#row += 1
      else if (code === '\x1b[K') this.lines[this.#row] = ''
      else if (code === '\x1b[J') this.lines.length = this.#row
      else if (code?.endsWith('A')) this.#row -= Number(code.slice(2, -1))
      else if (plain !== undefined) this.lines[this.#row] = plain
      this.lines[this.#row] ??= ''
    }
    return true
  }
  get shown(): string[] { return this.lines.filter((line) => line !== '') }
}

const terminal = (columns = 60, rows = 10): Screen & NodeJS.WriteStream => new Screen(columns, rows) as unknown as Screen & NodeJS.WriteStream

test('a bar is as wide as the window lets it, and goes before the figures do', () => {
  const one = [bar('aaaaaaaaaaaa', 'Downloading', 50_000_000, 100_000_000)]
  expect(picture(one, '', { columns: 70, rows: 24 })[0]?.text).toBe('aaaaaaaaaaaa: Downloading [============>             ]    50MB/100MB')
  expect(picture(one, '', { columns: 50, rows: 24 })[0]?.text).toBe('aaaaaaaaaaaa: Downloading [==>   ]    50MB/100MB')
  expect(picture(one, '', { columns: 44, rows: 24 })[0]?.text).toBe('aaaaaaaaaaaa: Downloading 50MB/100MB')
  expect(picture(one, 'half', { columns: 10, rows: 24 }).map(({ text }) => text)).toEqual(['aaaaaaaaa', 'half'])
  expect(picture([bar('a', 'Waiting', 0, 0)], '', { columns: 80, rows: 24 })[0]?.text).toBe('a: Waiting')
})

test('in a low window what goes on comes first', () => {
  const bars = ['a', 'b', 'c', 'd', 'e', 'f'].map((name, at) => bar(name, at < 3 ? 'Pull complete' : 'Waiting', 0, 0, at < 3))
  expect(picture(bars, 'sum', { columns: 80, rows: 6 }).map(({ text }) => text)).toEqual(['d: Waiting', 'e: Waiting', 'and 4 more, 3 of 6 finished', 'sum'])
  expect(picture(bars, '', { columns: 80, rows: 8 })).toHaveLength(6)
})

describe('a terminal', () => {
  test('is written over, and keeps the last picture and the lines between', () => {
    const stream = terminal()
    const progress = onTerminal(stream, ({ text }) => text)
    progress.show([bar('a', 'Waiting'), bar('b', 'Waiting')], 'nothing yet')
    progress.line('a line')
    progress.show([bar('a', 'Pull complete', 1, 1, true), bar('b', 'Downloading', 1, 2)], 'half')
    expect(stream.shown).toEqual(['a line', 'a: Pull complete', expect.stringMatching(/^b: Downloading \[=+> +\] {6}1B\/2B$/), 'half'])
    progress.show([bar('a', 'Pull complete', 1, 1, true), bar('b', 'Pull complete', 2, 2, true)], '')
    progress.end()
    progress.end()
    expect(stream.shown).toEqual(['a line', 'a: Pull complete', 'b: Pull complete'])
    expect(stream.listenerCount('resize')).toBe(0)
    progress.show([bar('c', 'Waiting')])
    expect(stream.shown).toHaveLength(4)
    progress.end()
  })
  test('is drawn twenty times a second at most, but at once when a word changes', () => {
    const stream = terminal()
    let now = 0
    const progress = onTerminal(stream, ({ text }) => text, () => now)
    const draw = (done: number, word = 'Downloading'): string => {
      stream.written = ''
      progress.show([bar('a', word, done, 100)])
      return stream.written
    }
    expect(draw(1)).not.toBe('')
    expect(draw(2)).toBe('')
    now = 60
    expect(draw(3)).not.toBe('')
    expect(draw(3, 'Extracting')).not.toBe('')
    progress.end()
  })
  test('that becomes narrower is drawn anew, over the lines that it wrapped', () => {
    const stream = terminal(60)
    const progress = onTerminal(stream, ({ text }) => text)
    progress.show([bar('aaaaaaaaaaaa', 'Downloading', 1, 2), bar('b', 'Waiting')])
    stream.written = ''
    stream.columns = 30
    stream.emit('resize')
    // Two lines of the one that was 59 wide, and one.
    expect(stream.written).toMatch(/^\x1b\[3A\r/)
    for (const line of stream.written.split('\n')) expect(line.replace(/\x1b\[[0-9]*[A-Z]|\r/g, '').length).toBeLessThan(30)
    progress.end()
  })
  test('has no colours with NO_COLOR', () => {
    expect(colours({})({ text: 'x', finished: true })).toBe('\x1b[2mx\x1b[0m')
    expect(colours({ NO_COLOR: '1' })({ text: 'x', finished: true })).toBe('x')
  })
  test('is none in a CI, when it is dumb, or when it is a file', () => {
    expect([hasBars({ isTTY: true }, {}), hasBars({ isTTY: true }, { CI: 'true' }), hasBars({ isTTY: true }, { TERM: 'dumb' }), hasBars({}, {})]).toEqual([true, false, false, false])
  })
})

test('elsewhere each thing is told once, when it is finished; nothing is told quietly', () => {
  const stream = terminal()
  for (const quiet of [false, true]) {
    const progress = openProgress({ quiet, stream, env: { CI: '1' } })
    progress.show([bar('a', 'Waiting'), bar('b', 'Already exists', 0, 0, true)], 'summary')
    progress.show([bar('a', 'Pull complete', 1, 1, true), bar('b', 'Already exists', 0, 0, true)])
    progress.line('a line')
    progress.end()
  }
  expect(stream.written).toBe('b: Already exists\na: Pull complete\na line\n')
})
