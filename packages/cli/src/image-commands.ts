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

/** The commands on images and their store, with their long forms `image …`, `system df` and `store verify`. */
export function imageCommands(program: Command): void {
  const image = group(program, 'image', 'Manage images')
  for (const [parent, name] of [[program, 'images'], [image, 'ls']] as const) {
    parent.command(name).description('List images').argument('[repository[:tag]]').option('-a, --all', 'as Docker has it: there are no others')
      .option('-q, --quiet', 'only show ids').option('--digests', 'show digests').option('--no-trunc', 'show whole ids')
      .option('-f, --filter <name=value>', 'dangling, label, before, since, until, reference', collect).option('--format <format>', `table, ${FORMAT}`)
      .action(ends1(async (wanted: string | undefined, options) => (await import('./commands/images.js')).images(wanted, options)))
  }
  for (const [parent, name] of [[program, 'rmi'], [image, 'rm']] as const) {
    parent.command(name).description('Remove images').argument('<image...>').option('-f, --force', 'also by an id with several names, or with ended containers')
      .action(ends1(async (names: string[], options) => (await import('./commands/rmi.js')).rmi(names, options)))
  }
  for (const parent of [program, image]) {
    parent.command('history').description('Show how an image was made').argument('<image>').option('-q, --quiet', 'only show ids')
      .option('--no-trunc', 'show everything whole').option('-H, --human', 'sizes and dates for people', true).option('--no-human', 'bytes and dates for programs')
      .option('--format <format>', `table, ${FORMAT}`)
      .action(ends1(async (name: string, options) => (await import('./commands/history.js')).history(name, options)))
  }
  image.command('inspect').description('Show all there is to know of images').argument('<image...>').option('-f, --format <format>', FORMAT)
    .action(ends1(async (names: string[], options) => (await import('./commands/inspect.js')).inspect(names, { ...options, type: 'image' })))
  program.command('inspect').description('Show all there is to know of containers and images').argument('<name...>').option('-f, --format <format>', FORMAT)
    .option('--type <type>', 'container or image: only look for these')
    .option('--operations', 'what a container of the image is made by, step by step')
    .action(ends1(async (names: string[], options) => (await import('./commands/inspect.js')).inspect(names, options)))
  for (const parent of [program, image]) {
    parent.command('save').description('Write images as an archive').argument('<image...>').option('-o, --output <file>', 'default standard output')
      .action(ends1(async (names: string[], options) => (await import('./commands/archive.js')).save(names, options)))
    parent.command('load').description('Read images from an archive').option('-i, --input <file>', 'archive, or directory with an OCI layout; default standard input')
      .option('-q, --quiet', 'only print names')
      .action(ends1(async (options) => (await import('./commands/archive.js')).load(options)))
  }
  image.command('prune').description('Remove images without a name').option('-a, --all', 'all that no container is made from')
    .option('-f, --force', 'do not ask').option('--filter <name=value>', 'until=24h, label=…', collect)
    .option('--unused <duration>', 'only those not used for so long').option('--keep-storage <size>', 'those last used longest ago, until the others take no more')
    .action(ends1(async (options) => (await import('./commands/prune.js')).imagePrune(options)))
  program.command('prune').description('Finish what dead runs left, and remove what nothing leads to').option('-a, --all', 'all images that no container is made from')
    .option('-f, --force', 'do not ask').option('--filter <name=value>', 'until=24h, label=…', collect)
    .option('--unused <duration>', 'images not used for so long').option('--keep-storage <size>', 'images last used longest ago, until the others take no more')
    .action(ends1(async (options) => (await import('./commands/prune.js')).prune(options)))
  group(program, 'system', 'Manage Mayfly').command('df').description('Show what the store takes of the disk').option('-v, --verbose', 'by image and snapshot')
    .option('--format <format>', `table, ${FORMAT}`)
    .action(ends1(async (options) => (await import('./commands/df.js')).df(options)))
  group(program, 'store', 'Look after the image store').command('verify').description('Check everything in the store against its digests')
    .option('--repair', 'take away what is damaged').option('--format <format>', 'json, or a template')
    .action(ends1(async (options) => (await import('./commands/verify.js')).verify(options)))
}

/** The group of commands of this name, made when it is not there. */
export function group(program: Command, name: string, description: string): Command {
  return program.commands.find((command) => command.name() === name) ?? program.command(name).description(description)
}
