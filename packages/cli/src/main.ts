import { CommanderError } from 'commander'

import { warmUp } from '@mayfly/core'

import { commandLineFor } from './program.js'
import { report } from './report.js'
import { withoutValues } from './words.js'

/** Does what the words say; what goes wrong is told, and in the exit code. */
export async function main(words: readonly string[]): Promise<void> {
  // Who reads no more (`| head`) is no failure: ends as SIGPIPE ends others.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', (error: NodeJS.ErrnoException) => { if (error.code === 'EPIPE') process.exit(141) })
  // While the words are looked at, the supervisor can start already; what goes wrong is told by the command itself.
  if (runsHere(words)) warmUp().catch(() => undefined)
  const program = commandLineFor(words)
  try {
    await program.parseAsync(withoutValues(program, words), { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = exitCodeOf(error)
    else process.exitCode = report(error, words[0] === 'exec' || words[0] === 'attach' ? 1 : 125)
  }
}

/** A `run --rm` in the foreground: others are the keeper's. */
function runsHere(words: readonly string[]): boolean {
  const at = words[0] === 'container' ? 1 : 0
  return words[at] === 'run' && words.includes('--rm') && !words.some((word) => ['--detach', '--tty', '--help'].includes(word) || /^-[a-zA-Z]*[dt]/.test(word))
}

/** Docker's: 1 for a command that there is none of, 125 for options and arguments. */
function exitCodeOf({ code, exitCode }: CommanderError): number {
  if (exitCode === 0 || code === 'commander.help') return 0
  return code === 'commander.unknownCommand' ? 1 : 125
}
