import type { Command } from 'commander'

import { report } from './report.js'

const collect = (value: string, all: string[] = []): string[] => [...all, value]
const FORMAT = "json, or a template, such as '{{.ID}}'"

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

/** The commands on networks of the background run, and `port`. */
export function networkCommands(program: Command): void {
  const network = program.command('network').description('Manage networks')
  const load = () => import('./commands/network.js')
  network.command('create').description('Create a network').argument('<name>').option('--internal', 'nothing outside is reached from it')
    .option('--label <name=value>', 'a label', collect).option('-d, --driver <driver>', 'as Docker has it: there is one')
    .action(ends1(async (name: string, options) => (await load()).create(name, options)))
  network.command('ls').alias('list').description('List networks').option('-q, --quiet', 'only show ids').option('--no-trunc', 'show whole ids')
    .option('--format <format>', `table, ${FORMAT}`)
    .action(ends1(async (options) => (await load()).ls(options)))
  network.command('inspect').description('Show all there is to know of networks').argument('<network...>').option('-f, --format <format>', FORMAT)
    .action(ends1(async (names: string[], options) => (await load()).inspect(names, options)))
  network.command('rm').alias('remove').description('Remove networks').argument('<network...>')
    .action(ends1(async (names: string[]) => (await load()).rm(names)))
  network.command('prune').description('Remove networks without containers').option('-f, --force', 'do not ask')
    .action(ends1(async () => (await load()).prune()))
  network.command('connect').description('Connect a detached container to a network').argument('<network>').argument('<container>')
    .option('--alias <name>', 'a further name on it', collect)
    .action(ends1(async (name: string, container: string, options) => (await load()).connect(name, container, options)))
  network.command('disconnect').description('Disconnect a detached container from a network').argument('<network>').argument('<container>')
    .option('-f, --force', 'as Docker has it')
    .action(ends1(async (name: string, container: string) => (await load()).disconnect(name, container)))
  program.command('port').description("Show where a container's ports are reached").argument('<container>').argument('[port[/protocol]]')
    .action(ends1(async (container: string, which: string | undefined) => (await import('./commands/port.js')).port(container, which)))
}
