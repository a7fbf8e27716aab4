import { execFileSync, spawn } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { expect } from 'vitest'
import { program } from '../place.js'

/** A program that a person would sit before. */
export interface Session {
  /** Everything on the screen so far. */
  readonly screen: () => string
  type(text: string): void
  /** Waits until the screen shows it. */
  shows(text: string | RegExp): Promise<void>
  /** Gives the window another size. */
  resize(size: { readonly columns: number, readonly rows: number }): void
  /** How the terminal is set, as stty tells. */
  settings(): string
  readonly exit: Promise<number | null>
}

const quoted = (word: string): string => `'${word.replaceAll('\'', String.raw`'\''`)}'`

/** Starts `mayfly WORDS…` in a pseudo-terminal; `after` runs in the same terminal when it has ended. */
export function session(words: readonly string[], after = ''): Session {
  const command = [process.execPath, program, ...words].map(quoted).join(' ')
  // A shell that waits for a program is not ended by the terminal's Ctrl-C itself, whichever shell it is.
  return terminalOf(`trap : INT; stty rows 24 cols 80; ${command}; code=$?; ${after === '' ? '' : `${after};`} exit $code`)
}

/** Starts a line for the shell in a pseudo-terminal, which util-linux's `script` makes. */
export function terminalOf(line: string, env: NodeJS.ProcessEnv = process.env): Session {
  const child = spawn('script', ['-qec', line, '/dev/null'], { stdio: 'pipe', env })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { text += chunk.toString() })
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve))
  const terminal = (): string => {
    const shell = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ')[0] ?? ''
    return readlinkSync(`/proc/${shell}/fd/0`)
  }
  return {
    screen: () => text,
    type: (typed) => { child.stdin.write(typed) },
    shows: (wanted) => expect.poll(() => text, { timeout: 10_000, interval: 10 }).toMatch(wanted),
    resize: ({ columns, rows }) => { execFileSync('stty', ['-F', terminal(), 'rows', String(rows), 'cols', String(columns)]) },
    settings: () => execFileSync('stty', ['-F', terminal(), '-a'], { encoding: 'utf8' }),
    exit,
  }
}
