import { Option, type Command } from 'commander'

import { collect, whole } from './action.js'
import { addLimitFlags, type LimitFlags } from './limit-flags.js'

/** What `run` and `create` take, in Docker's words. */
export interface RunFlags extends LimitFlags {
  readonly addHost?: readonly string[]
  readonly attach?: readonly string[]
  readonly capAdd?: readonly string[]
  readonly capDrop?: readonly string[]
  readonly cidfile?: string
  readonly detach?: boolean
  readonly detachKeys?: string
  readonly device?: readonly string[]
  readonly dns?: readonly string[]
  readonly dnsSearch?: readonly string[]
  readonly dnsOption?: readonly string[]
  readonly domainname?: string
  readonly entrypoint?: string
  readonly env?: readonly string[]
  readonly envFile?: readonly string[]
  readonly expose?: readonly string[]
  readonly groupAdd?: readonly string[]
  readonly healthCmd?: string
  readonly healthInterval?: string
  readonly healthRetries?: number
  readonly healthStartInterval?: string
  readonly healthStartPeriod?: string
  readonly healthTimeout?: string
  readonly healthcheck?: boolean
  readonly hostname?: string
  readonly init?: boolean
  readonly interactive?: boolean
  readonly ip?: string
  readonly ipc?: string
  readonly label?: readonly string[]
  readonly labelFile?: readonly string[]
  readonly mount?: readonly string[]
  readonly name?: string
  readonly network?: readonly string[]
  readonly net?: readonly string[]
  readonly networkAlias?: readonly string[]
  readonly oomScoreAdj?: number
  readonly pid?: string
  readonly platform?: string
  readonly privileged?: boolean
  readonly publish?: readonly string[]
  readonly publishAll?: boolean
  readonly pull: 'always' | 'missing' | 'never'
  readonly quiet?: boolean
  readonly readOnly?: boolean
  readonly restart?: string
  readonly rm?: boolean
  readonly securityOpt?: readonly string[]
  readonly shmSize?: string
  readonly sigProxy?: boolean
  readonly stopSignal?: string
  readonly stopTimeout?: number
  readonly sysctl?: readonly string[]
  readonly tmpfs?: readonly string[]
  readonly tty?: boolean
  readonly ulimit?: readonly string[]
  readonly user?: string
  readonly uts?: string
  readonly volume?: readonly string[]
  readonly volumesFrom?: readonly string[]
  readonly workdir?: string
}

/** Declares them. */
export function addRunFlags(command: Command): Command {
  return addLimitFlags(command)
    .argument('<image>').argument('[command...]').passThroughOptions().helpOption('--help')
    .option('--add-host <name:address>', 'a line of /etc/hosts; host-gateway is this machine', collect)
    .option('-a, --attach <stream>', 'only pass these on: stdin, stdout, stderr', collect)
    .option('--cap-add <capability>', 'a capability more, or ALL', collect)
    .option('--cap-drop <capability>', 'a capability less, or ALL', collect)
    .option('--cidfile <file>', 'write the id to a file')
    .option('--device <source[:target][:rwm]>', 'a device of this machine', collect)
    .option('--dns <address>', 'a name server', collect)
    .option('--dns-search <domain>', 'a domain to look bare names up in', collect)
    .option('--dns-option <option>', 'an option of resolv.conf', collect)
    .option('--domainname <name>', 'the NIS domain name')
    .option('--entrypoint <command>', "replaces the image's entrypoint")
    .option('-e, --env <name=value>', 'set an environment variable', collect)
    .option('--env-file <file>', 'a file of such lines', collect)
    .option('--expose <port[/udp]>', 'a port that the image does not tell of', collect)
    .option('--group-add <group>', 'a further group', collect)
    .option('--health-cmd <command>', 'a command that succeeds while it is well')
    .option('--health-interval <duration>', 'between two checks')
    .option('--health-retries <number>', 'failures until it is unhealthy', whole())
    .option('--health-start-interval <duration>', 'between two checks while it starts')
    .option('--health-start-period <duration>', 'how long failures do not count')
    .option('--health-timeout <duration>', 'how long one check may take')
    .option('--no-healthcheck', "forget the image's health check")
    .option('-h, --hostname <name>', 'host name')
    .option('--init', 'a first process that forwards signals and reaps')
    .option('-i, --interactive', 'keep standard input open')
    .option('--ip <address>', 'its address on a network whose subnet was chosen')
    .option('--ipc <mode>', 'private, host or container:NAME')
    .option('-l, --label <name=value>', 'a label', collect)
    .option('--label-file <file>', 'a file of such lines', collect)
    .option('--mount <type=…,source=…,target=…>', 'a bind, volume or tmpfs', collect)
    .option('--name <name>', 'name of the container')
    .option('--network <name>', 'a network, or none, host, container:NAME; also name=NETWORK,alias=NAME,ip=ADDRESS', collect)
    .addOption(new Option('--net <name>', 'the same').argParser(collect).hideHelp())
    .option('--network-alias <name>', 'a further name on its networks', collect)
    .option('--oom-score-adj <number>', 'how soon it is ended when memory runs out, -1000 to 1000', whole(-1000))
    .option('--pid <mode>', 'private, host or container:NAME')
    .option('--platform <os/architecture>', 'the platform; default this machine\'s')
    .option('--privileged', 'every capability and device, nothing forbidden')
    .option('-p, --publish <[[address:]host:]container[/udp]>', 'publish a port or a range of them', collect)
    .option('-P, --publish-all', 'publish every port the image exposes')
    .addOption(new Option('--pull <policy>', 'pull before running').choices(['always', 'missing', 'never']).default('missing'))
    .option('-q, --quiet', 'show nothing of a pull')
    .option('--read-only', 'a root file system that cannot be written to')
    .option('--restart <policy>', 'no, on-failure[:times], always, unless-stopped')
    .option('--rm', 'remove the container when it exits')
    .option('--security-opt <option>', 'no-new-privileges, seccomp=unconfined, seccomp=FILE', collect)
    .option('--shm-size <size>', 'size of /dev/shm')
    .option('--stop-signal <signal>', 'what asks it to stop')
    .option('--stop-timeout <seconds>', 'seconds before it is killed', whole())
    .option('--sysctl <name=value>', 'a kernel setting of its own', collect)
    .option('--tmpfs <target[:options]>', 'a directory in memory', collect)
    .option('-t, --tty', 'give it a terminal')
    .option('--ulimit <name=soft[:hard]>', 'a resource limit', collect)
    .option('-u, --user <name|uid[:group|gid]>', 'user')
    .option('--uts <mode>', 'private, host or container:NAME')
    .option('-v, --volume <[source:]target[:ro]>', 'bind a directory or file, or a volume by its name', collect)
    .option('--volumes-from <container[:ro]>', 'the mounts of another container', collect)
    .option('-w, --workdir <directory>', 'working directory')
}
