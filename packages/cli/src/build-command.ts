import type { Command } from 'commander'

import { both, collect, ends1, group } from './action.js'
import { addStepLimitFlags } from './limit-flags.js'

/** `build`, and its long forms. */
export function buildCommand(program: Command): void {
  const builder = group(program, 'builder', 'Manage builds')
  const parents = [program, group(program, 'image', 'Manage images'), builder]
  both(parents.map((parent) => [parent, 'build'] as const), (command) => addStepLimitFlags(command)
    .description('Build an image from a Dockerfile')
    .argument('<context>', 'a directory, a URL, a git repository, or - for a tar or a Dockerfile on standard input')
    .option('-f, --file <path>', 'the Dockerfile; default Dockerfile in the context, - for standard input')
    .option('-t, --tag <name[:tag]>', 'a name of the image', collect)
    .option('--build-arg <name=value>', 'a value for ARG', collect)
    .option('--target <stage>', 'the stage to build')
    .option('--label <name=value>', 'a label of the image', collect)
    .option('--no-cache', 'do every step anew')
    .option('--no-cache-filter <stage>', 'do every step of a stage anew', collect, [])
    .option('--pull', 'ask registries what base images are now')
    .option('--platform <os/architecture>', 'the platform')
    .option('--secret <id=…[,src=…|,env=…]>', 'a secret for RUN --mount=type=secret', collect)
    .option('--ssh <default|id=socket>', 'an agent for RUN --mount=type=ssh', collect)
    .option('--build-context <name=value>', 'a further context', collect)
    .option('--add-host <name:address>', 'a further host', collect)
    .option('--network <mode>', 'default, none or host')
    .option('--shm-size <size>', 'size of /dev/shm')
    .option('--ulimit <name=soft[:hard]>', 'a limit for RUN', collect)
    .option('--push', 'upload the image under its names')
    .option('--load', 'nothing: the image always is in the store')
    .option('--rm', 'nothing: containers of steps never stay').option('--force-rm', 'the same').option('--compress', 'nothing: the context is sent nowhere')
    .option('--cache-from <image>', 'nothing: steps are found in the store', collect)
    .option('--iidfile <file>', 'write the image id to a file')
    .option('-q, --quiet', 'print nothing but the image id')
    .option('--progress <type>', 'auto, plain or tty: all are lines of text')
    .action(ends1(async (context: string, options) => (await import('./commands/build.js')).build(context, options))))
  builder.command('prune').description('Forget what steps of builds made').option('-a, --all', 'as Docker has it: there are no others').option('-f, --force', 'do not ask')
    .option('--filter <until=time>', 'those last used before, such as until=24h', collect)
    .action(ends1(async (options) => (await import('./commands/prune.js')).builderPrune(options)))
}
