import type { Command } from 'commander'

import { both, collect, ends1, group } from './action.js'

const FORMAT = "json, or a template, such as '{{.Version}}'"

/** The commands on the whole: this machine, the store, registries' accounts, and the command line itself. */
export function systemCommands(program: Command): void {
  const system = group(program, 'system', 'Manage Mayfly')
  both([[program, 'info'], [system, 'info']], (command) => command.description('Say what this machine gives containers').option('-f, --format <format>', FORMAT)
    .action(ends1(async (options) => (await import('./commands/info.js')).info(options))))
  both([[program, 'events'], [system, 'events']], (command) => command.description('Show what happens to containers, networks, images and volumes')
    .option('-f, --filter <name=value>', 'container, image, event, label, type, network, volume', collect).option('--since <time>', 'begin with what happened from then on: a time, or how long ago (10m)')
    .option('--until <time>', 'end then').option('--format <format>', "json, or a template, such as '{{.Action}}'")
    .action(ends1(async (options) => (await import('./commands/events.js')).events(options))))
  program.command('version').description('Show versions').option('-f, --format <format>', FORMAT)
    .action(ends1(async (options) => (await import('./commands/version.js')).version(options)))
  both([[program, 'prune'], [system, 'prune']], (command) => command.description('Remove what nobody uses: stopped containers, networks and images without a name, what dead runs left')
    .option('-a, --all', 'all images that no container is made from')
    .option('-f, --force', 'do not ask').option('--filter <name=value>', 'until=24h, label=…', collect).option('--volumes', 'and volumes that nobody named')
    .option('--unused <duration>', 'images not used for so long').option('--keep-storage <size>', 'images last used longest ago, until the others take no more')
    .action(ends1(async (options) => (await import('./commands/prune.js')).prune(options))))
  system.command('df').description('Show what the store takes of the disk').option('-v, --verbose', 'by image and snapshot').option('--format <format>', `table, ${FORMAT}`)
    .action(ends1(async (options) => (await import('./commands/df.js')).df(options)))
  const snapshots = program.command('snapshots').description('List snapshots of prepared services').option('-q, --quiet', 'only show keys').option('--format <format>', `table, ${FORMAT}`)
    .action(ends1(async (options) => (await import('./commands/snapshots.js')).snapshots(options)))
  snapshots.command('rm').description('Remove snapshots').argument('<key...>')
    .action(ends1(async (keys: string[]) => (await import('./commands/snapshots.js')).rm(keys)))
  program.command('login').description('Log in to a registry').argument('[registry]', 'default Docker Hub')
    .option('-u, --username <name>', 'who').option('-p, --password <password>', 'seen by others: better read').option('--password-stdin', 'read it from standard input')
    .action(ends1(async (registry: string | undefined, options) => (await import('./commands/login.js')).login(registry, options)))
  program.command('logout').description('Forget what login kept').argument('[registry]', 'default Docker Hub')
    .action(ends1(async (registry: string | undefined) => (await import('./commands/login.js')).logout(registry)))
  program.command('cache-key').description("Print a key for a CI's cache of MAYFLY_HOME")
    .action(ends1(async () => (await import('./commands/cache-key.js')).cacheKey()))
  program.command('doctor').description('Say what this machine allows, and how to mend what it lacks').option('--format <format>', 'json')
    .action(ends1(async (options) => (await import('./commands/doctor.js')).doctor(options)))
  program.command('completion').description('Print what makes a shell complete mayfly\'s words').argument('<bash|zsh|fish>')
    .action(ends1(async (shell: string) => (await import('./commands/completion.js')).completion(shell)))
  program.command('__complete', { hidden: true }).argument('[words...]').allowUnknownOption().passThroughOptions().helpOption(false)
    .action(async (words: string[]) => (await import('./commands/completion.js')).complete(program, words))
}
