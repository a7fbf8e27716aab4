import { Command } from 'commander'

import type { Wanted } from './action.js'
import { buildCommand } from './build-command.js'
import { containerCommands } from './container-commands.js'
import { imageCommands } from './image-commands.js'
import { networkCommands } from './network-commands.js'
import { systemCommands } from './system-commands.js'
import { VERSION } from './version.js'
import { volumeCommands } from './volume-commands.js'

type Add = (program: Command, wanted: Wanted) => void

/** Each with the words that begin its commands; none: it looks for itself. */
const GROUPS: readonly (readonly [Add, readonly string[]])[] = [
  [containerCommands, []],
  [imageCommands, ['image', 'images', 'rmi', 'history', 'inspect', 'save', 'load', 'pull', 'push', 'tag', 'import', 'store']],
  [buildCommand, ['build', 'image', 'builder']],
  [networkCommands, ['network']],
  [volumeCommands, ['volume']],
  [systemCommands, ['system', 'info', 'version', 'prune', 'events', 'snapshots', 'login', 'logout', 'cache-key', 'doctor', 'completion', '__complete']],
]

/** Every command and flag there is. */
export function commandLine(): Command {
  return programOf(GROUPS.map(([add]) => add), () => true)
}

/** What is needed for these words: every command that is declared costs time, and one is asked for. */
export function commandLineFor(words: readonly string[]): Command {
  const [first = '', second = ''] = words
  const program = programOf(GROUPS.filter(([, begins]) => begins.length === 0 || begins.includes(first)).map(([add]) => add), (name) => name === first || name === second)
  const command = program.commands.find((one) => one.name() === first)
  const known = command !== undefined && (command.commands.length === 0 ? first !== 'container' : command.commands.some((one) => one.name() === second))
  // Whoever mistypes is told of all there are; so is who asks for help, or for completions.
  return known && first !== '__complete' ? program : commandLine()
}

function programOf(groups: readonly Add[], wanted: Wanted): Command {
  const program = new Command('mayfly')
    .description('Containers without a daemon')
    .version(`Mayfly version ${VERSION}`, '-v, --version')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => { write(`mayfly: ${text.replace(/^error: /, '')}`) } })
  for (const add of groups) add(program, wanted)
  return program
}
