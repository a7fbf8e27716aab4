import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { MayflyError } from '../errors.js'

/** Runs a command of the project's: sh`npx prisma migrate deploy`. Rejects with what it printed unless it ends with 0. */
export type Shell = (strings: TemplateStringsArray, ...values: readonly unknown[]) => Promise<string>

/** Commands run in `directory`, with `variables` set and the project's programs on the PATH. */
export function shellIn(directory: string, variables: Readonly<Record<string, string>>, signal: AbortSignal): Shell {
  return (strings, ...values) => {
    const text = strings.reduce((all, part, nth) => all + quoted(values[nth - 1]) + part)
    return execute(text, directory, variables, signal)
  }
}

/** A value is one word, an array several. */
function quoted(value: unknown): string {
  if (Array.isArray(value)) return value.map(quoted).join(' ')
  return `'${String(value).replaceAll('\'', '\'\\\'\'')}'`
}

async function execute(text: string, cwd: string, variables: Readonly<Record<string, string>>, signal: AbortSignal): Promise<string> {
  const path = [join(cwd, 'node_modules/.bin'), process.env['PATH'] ?? '/usr/bin:/bin'].join(':')
  const child = spawn('/bin/sh', ['-c', text], { cwd, signal, detached: true, env: { ...process.env, PATH: path, ...variables }, stdio: ['ignore', 'pipe', 'pipe'] })
  // With all that it started: a run that ends meanwhile has no use for it.
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // All of them have ended.
    }
  }
  process.once('exit', kill)
  let output = ''
  let both = ''
  child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString(); both += chunk.toString() })
  child.stderr.on('data', (chunk: Buffer) => void (both += chunk.toString()))
  const ended = await new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, by) => resolve(code === 0 ? '' : by ?? `status ${String(code)}`))
  }).finally(() => process.off('exit', kill))
  if (ended === '') return output
  throw new MayflyError('ERR_MAYFLY_PREPARE_FAILED', `"${text}" ended with ${ended}:\n${both.trimEnd().split('\n').slice(-50).join('\n')}`)
}
