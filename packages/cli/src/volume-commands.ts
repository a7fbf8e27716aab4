import type { Command } from 'commander'

import { collect, ends1 } from './action.js'

const FORMAT = "json, or a template, such as '{{.Name}}'"

/** The commands on volumes of this user's store. */
export function volumeCommands(program: Command): void {
  const volume = program.command('volume').description('Manage volumes')
  const load = () => import('./commands/volume.js')
  volume.command('create').description('Create a volume').argument('[name]').option('--label <name=value>', 'a label', collect)
    .option('-d, --driver <driver>', 'as Docker has it: there is one').action(ends1(async (name: string | undefined, options) => (await load()).create(name, options)))
  volume.command('ls').alias('list').description('List volumes').option('-q, --quiet', 'only show names')
    .option('-f, --filter <filter>', 'dangling=true, name=TEXT, label=NAME[=VALUE] or driver=local', collect).option('--format <format>', `table, ${FORMAT}`)
    .action(ends1(async (options) => (await load()).ls(options)))
  volume.command('inspect').description('Show all there is to know of volumes').argument('<volume...>').option('-f, --format <format>', FORMAT)
    .action(ends1(async (names: string[], options) => (await load()).inspect(names, options)))
  volume.command('rm').alias('remove').description('Remove volumes').argument('<volume...>').option('-f, --force', 'say nothing of those that are not there')
    .action(ends1(async (names: string[], options) => (await load()).rm(names, options)))
  volume.command('prune').description('Remove volumes that no container has').option('-a, --all', 'those with a name as well').option('-f, --force', 'do not ask')
    .option('--filter <name=value>', 'label=NAME[=VALUE], label!=…', collect)
    .action(ends1(async (options) => (await load()).prune(options)))
}
