import { Command } from 'commander'

import { buildCommand } from './build-command.js'
import { containerCommands } from './container-commands.js'
import { imageCommands } from './image-commands.js'
import { networkCommands } from './network-commands.js'
import { systemCommands } from './system-commands.js'
import { VERSION } from './version.js'
import { volumeCommands } from './volume-commands.js'

/** Every command and flag there is. */
export function commandLine(): Command {
  const program = new Command('mayfly')
    .description('Containers without a daemon')
    .version(`Mayfly version ${VERSION}`, '-v, --version')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => { write(`mayfly: ${text.replace(/^error: /, '')}`) } })
  for (const add of [containerCommands, imageCommands, buildCommand, networkCommands, volumeCommands, systemCommands]) add(program)
  return program
}
