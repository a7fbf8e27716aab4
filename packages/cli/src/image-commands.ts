import type { Command } from 'commander'

import { both, collect, ends1, group } from './action.js'

const FORMAT = "json, or a template, such as '{{.ID}}'"

/** The commands on images and their store, with their long forms `image …`, `system df` and `store verify`. */
export function imageCommands(program: Command): void {
  const image = group(program, 'image', 'Manage images')
  for (const [parent, name] of [[program, 'images'], [image, 'ls']] as const) {
    parent.command(name).aliases(name === 'ls' ? ['list'] : []).description('List images').argument('[repository[:tag]]').option('-a, --all', 'as Docker has it: there are no others')
      .option('-q, --quiet', 'only show ids').option('--digests', 'show digests').option('--no-trunc', 'show whole ids')
      .option('-f, --filter <name=value>', 'dangling, label, before, since, until, reference', collect).option('--format <format>', `table, ${FORMAT}`)
      .action(ends1(async (wanted: string | undefined, options) => (await import('./commands/images.js')).images(wanted, options)))
  }
  for (const [parent, name] of [[program, 'rmi'], [image, 'rm']] as const) {
    parent.command(name).aliases(name === 'rm' ? ['remove'] : []).description('Remove images').argument('<image...>').option('-f, --force', 'also by an id with several names, or with ended containers').option('--no-prune', 'as Docker has it: images have no parents that would go with them')
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
  program.command('inspect').description('Show all there is to know of containers, images, networks and volumes').argument('<name...>').option('-f, --format <format>', FORMAT)
    .option('--type <type>', 'container, image, network or volume: only look for these').option('-s, --size', 'of containers, with the bytes of their changes')
    .option('--operations', 'what a container of the image is made by, step by step')
    .action(ends1(async (names: string[], options) => (await import('./commands/inspect.js')).inspect(names, options)))
  for (const parent of [program, image]) {
    parent.command('save').description('Write images as an archive').argument('<image...>').option('-o, --output <file>', 'default standard output')
      .action(ends1(async (names: string[], options) => (await import('./commands/archive.js')).save(names, options)))
    parent.command('load').description('Read images from an archive').option('-i, --input <file>', 'archive, or directory with an OCI layout; default standard input')
      .option('-q, --quiet', 'only print names')
      .action(ends1(async (options) => (await import('./commands/archive.js')).load(options)))
  }
  both([[program, 'pull'], [image, 'pull']], (command) => command.description('Download an image, or those that mayfly.config names').argument('[image]').option('-q, --quiet', 'only print the name')
    .option('-a, --all-tags', 'every tag of the repository')
    .option('--platform <os/architecture>', 'the platform; default this machine\'s')
    .action(ends1(async (name: string | undefined, options) => (await import('./commands/pull.js')).pull(name, options))))
  both([[program, 'push'], [image, 'push']], (command) => command.description('Upload an image').argument('<name>').option('-q, --quiet', 'print nothing but the name')
    .option('-a, --all-tags', 'every tag of the repository')
    .action(ends1(async (name: string, options) => (await import('./commands/push.js')).push(name, options))))
  both([[program, 'tag'], [image, 'tag']], (command) => command.description('Give an image another name').argument('<image>').argument('<name>')
    .action(ends1(async (name: string, other: string) => (await import('./commands/tag.js')).tag(name, other))))
  both([[program, 'import'], [image, 'import']], (command) => command.description('Make an image of a tar of a file system').argument('<file|URL|->').argument('[name]')
    .option('-m, --message <text>', 'a message').option('-c, --change <instruction>', 'an instruction of a Dockerfile', collect)
    .option('--platform <os/architecture>', 'the platform; default this machine\'s')
    .action(ends1(async (file: string, name: string | undefined, options) => (await import('./commands/import.js')).importImage(file, name, options))))
  image.command('prune').description('Remove images without a name').option('-a, --all', 'all that no container is made from')
    .option('-f, --force', 'do not ask').option('--filter <name=value>', 'until=24h, label=…', collect)
    .option('--unused <duration>', 'only those not used for so long').option('--keep-storage <size>', 'those last used longest ago, until the others take no more')
    .action(ends1(async (options) => (await import('./commands/prune.js')).imagePrune(options)))
  group(program, 'store', 'Look after the image store').command('verify').description('Check everything in the store against its digests')
    .option('--repair', 'take away what is damaged').option('--format <format>', 'json, or a template')
    .action(ends1(async (options) => (await import('./commands/verify.js')).verify(options)))
}
