import { CommanderError } from 'commander'

import { commandLineFor } from './program.js'
import { report } from './report.js'
import { withoutValues } from './words.js'

const program = commandLineFor(process.argv.slice(2))
try {
  await program.parseAsync(withoutValues(program, process.argv.slice(2)), { from: 'user' })
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = exitCodeOf(error)
  else process.exitCode = report(error, process.argv[2] === 'exec' || process.argv[2] === 'attach' ? 1 : 125)
}

/** Docker's: 1 for a command that there is none of, 125 for options and arguments. */
function exitCodeOf({ code, exitCode }: CommanderError): number {
  if (exitCode === 0 || code === 'commander.help') return 0
  return code === 'commander.unknownCommand' ? 1 : 125
}
