import type { Container } from '../../container/types.js'
import { MayflyError } from '../../errors.js'

export interface ToolOptions {
  /** The command's $0, $1, … */
  readonly words?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

/** Longer than any state that tests have takes: milliseconds. */
const LONGEST = 120_000

/** Runs a line of shell as the container's root, and answers what it printed. Throws ERR_MAYFLY_RESET_FAILED with its words. */
export async function inContainer(container: Pick<Container, 'exec'>, script: string, { words = [], env = {}, input }: ToolOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await container.exec(['/bin/sh', '-c', script, ...words], {
    user: '0', timeout: LONGEST, env, ...(input === undefined ? {} : { input }),
  })
  if (exitCode === 0) return stdout
  throw new MayflyError('ERR_MAYFLY_RESET_FAILED', `A service's state could not be kept or brought back: ${(stderr.trim() === '' ? stdout : stderr).trim().slice(-2000)}`, {
    details: { exitCode },
  })
}
