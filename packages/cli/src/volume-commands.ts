import type { Command } from 'commander'

import { report } from './report.js'

const collect = (value: string, all: string[] = []): string[] => [...all, value]
const FORMAT = "json, or a template, such as '{{.Name}}'"

/** Docker ends these with 1 when they fail; 125 is for `run`. */
function ends1<Words extends unknown[]>(action: (...words: Words) => Promise<void>): (...words: Words) => Promise<void> {
  return async (...words) => {
    try {
      await action(...words)
    } catch (error) {
      report(error)
      process.exitCode = 1
    }
  }
}

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
    .action(ends1(async (options) => (await load()).prune(options)))
}
