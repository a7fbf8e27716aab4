import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { startRunner, type Bench } from './runner.js'

/** A runner in watch mode on a copy of a project, whose files are changed. */
export interface Watched {
  /** What the runner printed so far. */
  readonly output: () => string
  /** Waits until `pattern` has matched so many times, and answers the matches' first groups. */
  seen(pattern: RegExp, times: number): Promise<string[]>
  /** Changes a file of the project. */
  change(file: string, edit: (text: string) => string): void
  [Symbol.asyncDispose](): Promise<void>
}

export function watch(runner: 'jest' | 'vitest', project: string, bench: Bench, words: readonly string[]): Watched {
  const fixtures = join(import.meta.dirname, '..', runner, 'fixtures')
  // Beside the other projects, whose packages it finds.
  const copy = `${project}-${String(process.pid)}`
  cpSync(join(fixtures, project), join(fixtures, copy), { recursive: true })
  const child = startRunner(runner, copy, bench, words)
  const ended = once(child, 'close')
  let output = ''
  let told = (): void => undefined
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => { output += text.toString(); told() })
  return {
    output: () => output,
    seen: async (pattern, times) => {
      for (;;) {
        const found = [...output.matchAll(pattern)].map((match) => match[1] ?? '')
        if (found.length >= times) return found
        const over = await Promise.race([ended, new Promise<undefined>((resolve) => void (told = () => resolve(undefined)))])
        if (over !== undefined) throw new Error(`The runner ended early:\n${output}`)
      }
    },
    change: (file, edit) => {
      const path = join(fixtures, copy, file)
      writeFileSync(path, edit(readFileSync(path, 'utf8')))
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      await ended
      rmSync(join(fixtures, copy), { recursive: true })
    },
  }
}
