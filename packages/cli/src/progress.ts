import { humanSize } from './size.js'

/** One thing that goes on. */
export interface Bar {
  /** Short and unique, such as the beginning of a digest. */
  readonly name: string
  /** What is done with it, as Docker says it: `Downloading`, `Pull complete`. */
  readonly word: string
  /** In bytes; without it there is no bar, but the word alone. */
  readonly done?: number
  readonly total?: number
  readonly finished: boolean
}

/** Where a command shows what goes on. */
export interface Progress {
  /** All that goes on, in an order that stays, and a line below it. */
  show(bars: readonly Bar[], summary?: string): void
  /** A line that stays. */
  line(text: string): void
  /** Leaves what was shown last, without the summary; what is shown next stands below. */
  end(): void
}

interface Screen {
  readonly columns?: number
  readonly rows?: number
  write(text: string): unknown
}

const PAUSE = 50

/** Bars on a terminal; for a CI, a file or a pipe a line for each thing that is finished; nothing when quiet. */
export function openProgress({ quiet = false, stream = process.stderr, env = process.env }: {
  readonly quiet?: boolean | undefined, readonly stream?: NodeJS.WriteStream, readonly env?: NodeJS.ProcessEnv
} = {}): Progress {
  if (quiet) return { show: () => undefined, line: () => undefined, end: () => undefined }
  if (!hasBars(stream, env)) return lines(stream)
  return onTerminal(stream, colours(env))
}

export function hasBars(stream: { readonly isTTY?: boolean | undefined }, env: NodeJS.ProcessEnv = process.env): boolean {
  return stream.isTTY === true && env['TERM'] !== 'dumb' && (env['CI'] ?? '') === ''
}

function lines(stream: Screen): Progress {
  const told = new Set<string>()
  return {
    show: (bars) => {
      for (const { name, word, finished } of bars) {
        if (!finished || told.has(name)) continue
        told.add(name)
        stream.write(`${name}: ${word}\n`)
      }
    },
    line: (text) => void stream.write(`${text}\n`),
    end: () => undefined,
  }
}

/** What stands on the screen is written over; `now` is in milliseconds. */
export function onTerminal(stream: NodeJS.WriteStream, paint: Paint, now: () => number = () => performance.now()): Progress {
  let shown: readonly string[] = []
  let latest: { readonly bars: readonly Bar[], readonly summary: string } | undefined
  let drawn = Number.NEGATIVE_INFINITY
  let later: NodeJS.Timeout | undefined
  const draw = (bars: readonly Bar[], summary: string): void => {
    const columns = stream.columns || 80
    const next = picture(bars, summary, { columns, rows: stream.rows || 24 })
    stream.write(`${above(shown, columns)}${next.map((one) => `\r\x1b[K${paint(one)}\n`).join('')}\x1b[J`)
    shown = next.map(({ text }) => text)
    drawn = now()
  }
  const redraw = (): void => {
    clearTimeout(later)
    later = undefined
    if (latest !== undefined) draw(latest.bars, latest.summary)
  }
  return {
    show: (bars, summary = '') => {
      if (latest === undefined) stream.on('resize', redraw)
      const turned = latest?.bars.some(({ word }, at) => word !== bars[at]?.word) ?? true
      latest = { bars, summary }
      if (turned || now() - drawn >= PAUSE) return redraw()
      later ??= setTimeout(redraw, PAUSE).unref()
    },
    line: (text) => {
      stream.write(`${above(shown, stream.columns || 80)}\x1b[J${text}\n`)
      shown = []
      redraw()
    },
    end: () => {
      stream.off('resize', redraw)
      clearTimeout(later)
      later = undefined
      if (latest !== undefined) draw(latest.bars, '')
      latest = undefined
      shown = []
    },
  }
}

/** The way back over lines that stand there; since they were written the window may have become narrower. */
function above(shown: readonly string[], columns: number): string {
  const height = shown.reduce((sum, text) => sum + Math.max(1, Math.ceil(text.length / columns)), 0)
  return height === 0 ? '' : `\x1b[${String(height)}A\r`
}

export interface Line {
  readonly text: string
  readonly finished: boolean
}

/** The lines for a window: when it is too low, what is finished is left out first, then what comes last. */
export function picture(bars: readonly Bar[], summary: string, { columns, rows }: { readonly columns: number, readonly rows: number }): Line[] {
  const room = Math.max(1, rows - 2 - (summary === '' ? 0 : 1))
  const going = bars.length <= room ? bars : bars.filter(({ finished }) => !finished).slice(0, room - 1)
  const hidden = bars.length - going.length
  const all = [
    ...going.map((bar) => ({ text: barText(bar, columns), finished: bar.finished })),
    ...(hidden === 0 ? [] : [{ text: `and ${String(hidden)} more, ${String(bars.filter(({ finished }) => finished).length)} of ${String(bars.length)} finished`, finished: true }]),
    ...(summary === '' ? [] : [{ text: summary, finished: false }]),
  ]
  // The last column is left alone: a terminal would wrap there.
  return all.map(({ text, finished }) => ({ text: text.slice(0, Math.max(1, columns - 1)), finished }))
}

function barText({ name, word, done, total, finished }: Bar, columns: number): string {
  const plain = `${name}: ${word}`
  if (finished || done === undefined || total === undefined || done === 0 || total === 0) return plain
  const begin = plain.padEnd(name.length + 13)
  const figures = `${humanSize(done).padStart(7)}/${humanSize(total)}`
  const width = Math.min(50, columns - begin.length - figures.length - 6)
  if (width < 5) return `${plain} ${figures.trim()}`
  const full = Math.min(width, Math.floor(done / total * width))
  return `${begin} [${'='.repeat(Math.max(0, full - 1))}${full > 0 ? '>' : ''}${' '.repeat(width - full)}] ${figures}`
}

type Paint = (line: Line) => string

/** NO_COLOR, with any value but none, forbids colours. [no-color.org] */
export function colours(env: NodeJS.ProcessEnv): Paint {
  return (env['NO_COLOR'] ?? '') === '' ? ({ text, finished }) => (finished ? `\x1b[2m${text}\x1b[0m` : text) : ({ text }) => text
}
