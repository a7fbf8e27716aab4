import type { Container } from '../../container/types.js'
import { MayflyError } from '../../errors.js'

export interface ToolOptions {
  /** The command's $0, $1, … */
  readonly words?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

/** Longer than any state that tests have takes: milliseconds. */
export const LONGEST = 120_000

/** Runs a line of shell as the container's root, and answers what it printed. Throws ERR_MAYFLY_RESET_FAILED with its words. */
export async function inContainer(container: Pick<Container, 'exec'>, script: string, { words = [], env = {}, input }: ToolOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await container.exec(['/bin/sh', '-c', script, ...words], {
    user: '0', timeout: LONGEST, env, ...(input === undefined ? {} : { input }),
  })
  if (exitCode === 0) return stdout
  throw stateFailed((stderr.trim() === '' ? stdout : stderr).trim().slice(-2000), { exitCode })
}

/** ERR_MAYFLY_RESET_FAILED with the words of the server. */
export function stateFailed(said: string, details: Readonly<Record<string, unknown>> = {}): MayflyError {
  return new MayflyError('ERR_MAYFLY_RESET_FAILED', `A service's state could not be kept or brought back: ${said}`, { details })
}

/** Asks a server's own interface over HTTP, and answers its JSON. Throws ERR_MAYFLY_RESET_FAILED with its words. */
export async function ask(base: string, path: string, method: string, body?: object, headers: Readonly<Record<string, string>> = {}): Promise<unknown> {
  let said: string
  try {
    const sent = body === undefined || body instanceof URLSearchParams ? { body, headers } : { body: JSON.stringify(body), headers: { ...headers, 'content-type': 'application/json' } }
    const answer = await fetch(new URL(path, base), { method, signal: AbortSignal.timeout(LONGEST), headers: sent.headers, ...(sent.body === undefined ? {} : { body: sent.body }) })
    said = await answer.text()
    if (answer.ok) return said === '' || !(answer.headers.get('content-type') ?? '').includes('json') ? said : JSON.parse(said)
    said = `${String(answer.status)} ${said.trim().slice(0, 2000)}`
  } catch (error) {
    said = String((error as Error).cause ?? error)
  }
  throw stateFailed(`${method} ${path}: ${said}`)
}
