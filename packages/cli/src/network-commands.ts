import type { Command } from 'commander'

import { collect, ends1 } from './action.js'

const FORMAT = "json, or a template, such as '{{.ID}}'"

/** The commands on networks of the background run. */
export function networkCommands(program: Command): void {
  const network = program.command('network').description('Manage networks')
  const load = () => import('./commands/network.js')
  network.command('create').description('Create a network').argument('<name>').option('--internal', 'nothing outside is reached from it')
    .option('--label <name=value>', 'a label', collect).option('-d, --driver <driver>', 'as Docker has it: there is one')
    .option('--subnet <subnet>', 'its addresses, such as 172.28.0.0/16').option('--gateway <address>', 'the one that leads out').option('--ip-range <subnet>', 'what is given out of it')
    .option('--ipv4', 'as Docker has it: networks always have it')
    .action(ends1(async (name: string, options) => (await load()).create(name, options)))
  network.command('ls').alias('list').description('List networks').option('-q, --quiet', 'only show ids').option('--no-trunc', 'show whole ids')
    .option('-f, --filter <name=value>', 'id, name, label, driver, dangling, scope, type', collect).option('--format <format>', `table, ${FORMAT}`)
    .action(ends1(async (options) => (await load()).ls(options)))
  network.command('inspect').description('Show all there is to know of networks').argument('<network...>').option('-f, --format <format>', FORMAT)
    .action(ends1(async (names: string[], options) => (await load()).inspect(names, options)))
  network.command('rm').alias('remove').description('Remove networks').argument('<network...>').option('-f, --force', 'say nothing of those that are not there')
    .action(ends1(async (names: string[], options) => (await load()).rm(names, options)))
  network.command('prune').description('Remove networks without containers').option('-f, --force', 'do not ask').option('--filter <name=value>', 'until=24h, label=…', collect)
    .action(ends1(async (options) => (await load()).prune(options)))
  network.command('connect').description('Connect a detached container to a network').argument('<network>').argument('<container>')
    .option('--alias <name>', 'a further name on it', collect).option('--ip <address>', 'its address there')
    .action(ends1(async (name: string, container: string, options) => (await load()).connect(name, container, options)))
  network.command('disconnect').description('Disconnect a detached container from a network').argument('<network>').argument('<container>')
    .option('-f, --force', 'as Docker has it')
    .action(ends1(async (name: string, container: string) => (await load()).disconnect(name, container)))
}
