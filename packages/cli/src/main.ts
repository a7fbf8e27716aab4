import { Command, CommanderError, Option } from 'commander'

import { imageCommands } from './image-commands.js'
import { networkCommands } from './network-commands.js'
import { report } from './report.js'
import { volumeCommands } from './volume-commands.js'

const program = new Command('mayfly')
  .description('Containers without a daemon')
  .version(process.env['npm_package_version'] ?? '0.1.0', '-v, --version')
  .enablePositionalOptions()
  .exitOverride()

const collect = (value: string, all: string[] = []): string[] => [...all, value]

program.command('run')
  .description('Create and run a container from an image')
  .argument('<image>')
  .argument('[command...]')
  .passThroughOptions()
  .helpOption('--help')
  .option('--rm', 'remove the container when it exits')
  .option('-d, --detach', 'run in the background and print the container id')
  .option('-i, --interactive', 'keep standard input open')
  .option('-t, --tty', 'give it a terminal')
  .option('--detach-keys <keys>', 'what to type to leave it running; default ctrl-p,ctrl-q')
  .option('-e, --env <name=value>', 'set an environment variable', collect)
  .option('--env-file <file>', 'a file of such lines', collect)
  .option('-p, --publish <[[address:]host:]container[/udp]>', 'publish a port or a range of them', collect)
  .option('-P, --publish-all', 'publish every port the image exposes')
  .option('--network <name>', 'a network, or none, host, container:NAME', collect)
  .option('--network-alias <name>', 'a further name on its networks', collect)
  .option('--add-host <name:address>', 'a line of /etc/hosts; host-gateway is this machine', collect)
  .option('--dns <address>', 'a name server', collect)
  .option('--dns-search <domain>', 'a domain to look bare names up in', collect)
  .option('--dns-option <option>', 'an option of resolv.conf', collect)
  .option('-m, --memory <size>', 'memory limit')
  .option('--cpus <number>', 'number of CPUs', Number)
  .option('--pids-limit <number>', 'limit of processes', Number)
  .option('-u, --user <name|uid[:group|gid]>', 'user')
  .option('-w, --workdir <directory>', 'working directory')
  .option('-v, --volume <[source:]target[:ro]>', 'bind a directory or file, or a volume by its name', collect)
  .option('--mount <type=…,source=…,target=…>', 'a bind, volume or tmpfs', collect)
  .option('--tmpfs <target[:options]>', 'a directory in memory', collect)
  .option('--read-only', 'a root file system that cannot be written to')
  .option('--name <name>', 'name of the container')
  .option('-h, --hostname <name>', 'host name')
  .option('--entrypoint <command>', "replaces the image's entrypoint")
  .addOption(new Option('--pull <policy>', 'pull before running').choices(['always', 'missing', 'never']).default('missing'))
  .option('--platform <os/architecture>', 'the platform; default this machine\'s')
  .action(async (image: string, words: string[], options) => {
    const { run } = await import('./commands/run.js')
    await run(image, words, options)
  })

const buildCommand = (name: string): Command => new Command(name)
  .description('Build an image from a Dockerfile')
  .argument('<context>', 'a directory, or - for a tar or a Dockerfile on standard input')
  .option('-f, --file <path>', 'the Dockerfile; default Dockerfile in the context, - for standard input')
  .option('-t, --tag <name[:tag]>', 'a name of the image', collect)
  .option('--build-arg <name=value>', 'a value for ARG', collect)
  .option('--target <stage>', 'the stage to build')
  .option('--label <name=value>', 'a label of the image', collect)
  .option('--no-cache', 'do every step anew')
  .option('--pull', 'ask registries what base images are now')
  .option('--platform <os/architecture>', 'the platform')
  .option('--secret <id=…[,src=…|,env=…]>', 'a secret for RUN --mount=type=secret', collect)
  .option('--build-context <name=value>', 'a further context', collect)
  .option('--add-host <name:address>', 'a further host', collect)
  .option('--network <mode>', 'default, none or host')
  .option('--shm-size <size>', 'size of /dev/shm')
  .option('--iidfile <file>', 'write the image id to a file')
  .option('-q, --quiet', 'print nothing but the image id')
  .option('--progress <type>', 'auto, plain or tty: all are lines of text')
  .action(async (context: string, options) => (await import('./commands/build.js')).build(context, options))
program.addCommand(buildCommand('build'))

program.command('commit').description("Make an image of a container's changes").argument('<container>').argument('[name]')
  .option('-m, --message <text>', 'a message').option('-a, --author <name>', 'who made it')
  .option('-c, --change <instruction>', 'an instruction of a Dockerfile', collect)
  .option('--no-pause', 'let the container go on meanwhile')
  .action(async (container: string, name: string | undefined, options) => (await import('./commands/commit.js')).commit(container, name, options))

program.command('tag').description('Give an image another name').argument('<image>').argument('<name>')
  .action(async (image: string, name: string) => (await import('./commands/tag.js')).tag(image, name))

program.command('push').description('Upload an image').argument('<name>').option('-q, --quiet', 'print nothing but the name')
  .option('-a, --all-tags', 'every tag of the repository')
  .action(async (name: string, options) => (await import('./commands/push.js')).push(name, options))

program.command('login').description('Log in to a registry').argument('[registry]', 'default Docker Hub')
  .option('-u, --username <name>').option('-p, --password <password>').option('--password-stdin', 'read it from standard input')
  .action(async (registry: string | undefined, options) => (await import('./commands/login.js')).login(registry, options))

program.command('logout').description('Forget what login kept').argument('[registry]', 'default Docker Hub')
  .action(async (registry: string | undefined) => (await import('./commands/login.js')).logout(registry))

program.command('pull').description('Download an image, or those that mayfly.config names').argument('[image]').option('-q, --quiet')
  .option('--platform <os/architecture>', 'the platform; default this machine\'s')
  .action(async (image: string | undefined, options) => (await import('./commands/pull.js')).pull(image, options))

imageCommands(program)
networkCommands(program)
volumeCommands(program)

program.command('ps').description('List containers').option('-a, --all', 'also show those that ended')
  .option('-q, --quiet', 'only show ids').option('--no-trunc', 'show whole ids').option('--format <format>', "table, json, or a template, such as '{{.ID}}'")
  .action(async (options) => (await import('./commands/ps.js')).ps(options))

program.command('logs').description("Show a container's output").argument('<container>')
  .option('-f, --follow', 'go on showing it').option('-n, --tail <lines>', 'lines from the end', 'all')
  .action(async (container: string, options) => (await import('./commands/logs.js')).logs(container, options))

program.command('exec').description('Run a command in a running container').argument('<container>').argument('<command...>')
  .passThroughOptions()
  .option('-i, --interactive', 'pass standard input on').option('-t, --tty', 'give it a terminal')
  .option('-d, --detach', 'do not wait for it').option('-e, --env <name=value>', 'set an environment variable', collect)
  .option('--env-file <file>', 'a file of such lines', collect)
  .option('-w, --workdir <directory>', 'working directory').option('-u, --user <name|uid[:group|gid]>', 'user')
  .option('--privileged', 'with every capability').option('--detach-keys <keys>', 'what to type to leave; default ctrl-p,ctrl-q')
  .action(async (container: string, command: string[], options) => (await import('./commands/exec.js')).exec(container, command, options))

program.command('attach').description("Join a container's own input and output").argument('<container>')
  .option('--no-stdin', 'pass no input on').option('--sig-proxy [whether]', 'pass signals on', 'true')
  .option('--detach-keys <keys>', 'what to type to leave; default ctrl-p,ctrl-q')
  .action(async (container: string, options) => (await import('./commands/attach.js')).attach(container, options))

program.command('stop').description('Stop containers').argument('<container...>')
  .option('-t, --time <seconds>', 'seconds before it is killed', Number)
  .action(async (containers: string[], options) => (await import('./commands/stop.js')).stop(containers, options))

program.command('info').description('Say what this machine gives containers').option('--format <format>', 'json')
  .action(async (options) => (await import('./commands/info.js')).info(options))

program.command('cache-key').description("Print a key for a CI's cache of MAYFLY_HOME")
  .action(async () => (await import('./commands/cache-key.js')).cacheKey())

program.command('doctor').description('Say what this machine allows, and how to mend what it lacks').option('--format <format>', 'json')
  .action(async (options) => (await import('./commands/doctor.js')).doctor(options))

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 125
  else process.exitCode = report(error, process.argv[2] === 'exec' || process.argv[2] === 'attach' ? 1 : 125)
}
