import type { DeviceNode } from './devices.js'
import type { SeccompProfile } from './seccomp/index.js'

/** In characters. */
export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

/** What of the options shapes the sandbox: its place, its limits, its rights and its program. */
export interface SandboxOptions {
  /** Added to the image's environment; `undefined` removes a name. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** Replaces the image's CMD. A string runs under `/bin/sh -c`. */
  readonly command?: readonly string[] | string | undefined
  /** Replaces the image's ENTRYPOINT, and its CMD unless `command` is given; `[]` removes it. */
  readonly entrypoint?: readonly string[] | string | undefined
  readonly mounts?: readonly Mount[] | undefined
  /** Directories on a fresh tmpfs; text as in Docker: `/tmp` or `/tmp:size=64m`. */
  readonly tmpfs?: readonly string[] | undefined
  /** Bytes, or text such as `256m`. */
  readonly memory?: number | string | undefined
  /** Memory and swap together; -1 for any amount of swap. Default: the same as `memory`, so no swap. */
  readonly memorySwap?: number | string | undefined
  /** What the container keeps when memory runs short. */
  readonly memoryReservation?: number | string | undefined
  /** Processors' worth of time, fractions allowed. */
  readonly cpus?: number | undefined
  /** Microseconds of processor time in every period; -1 for any. */
  readonly cpuQuota?: number | undefined
  /** Microseconds, 1000 to 1 000 000. Default 100 000. */
  readonly cpuPeriod?: number | undefined
  /** Weight when processors are short, 2 to 262 144; 1024 is everybody's. */
  readonly cpuShares?: number | undefined
  /** Processors to run on, such as `0-2,4`. */
  readonly cpusetCpus?: string | undefined
  /** Memory nodes to use. */
  readonly cpusetMems?: string | undefined
  /** Weight of its disk access, 10 to 1000; refused where the kernel has no such thing. */
  readonly blkioWeight?: number | undefined
  /** Most processes and threads at a time; -1 for any number. Default 4096. */
  readonly pids?: number | undefined
  /** `user[:group]`, names or numbers. */
  readonly user?: string | undefined
  /** Further supplementary groups, by names of the image or numbers. */
  readonly groupAdd?: readonly (string | number)[] | undefined
  readonly workdir?: string | undefined
  /** A terminal for the standard streams: output and errors are one stream then. Default none. */
  readonly tty?: boolean | TerminalSize | undefined
  /** Default: the first 12 characters of the id. */
  readonly hostname?: string | undefined
  /** The NIS domain name. */
  readonly domainname?: string | undefined
  /** Whose processes it sees: its own, those of the run (`host`: nothing of a run lives outside it), or another container's. */
  readonly pid?: NamespaceMode | undefined
  /** Whose System V and POSIX shared memory, semaphores and queues, /dev/shm included. */
  readonly ipc?: NamespaceMode | undefined
  /** Whose host name. */
  readonly uts?: NamespaceMode | undefined
  /** Default: an address in the run's network. `none` has the loopback alone; `container:NAME` shares address and ports. */
  readonly network?: 'none' | 'host' | `container:${string}` | undefined
  /** Seconds by which its clocks are ahead of the host's (a time namespace; Linux 5.6). */
  readonly timeOffsets?: { readonly monotonic?: number | undefined; readonly boottime?: number | undefined } | undefined
  /** A pid 1 of ours that forwards signals and reaps; the command is its child. Default false. */
  readonly init?: boolean | undefined
  /** Devices of the host: `SOURCE[:TARGET][:rwm]`; a directory stands for all in it. */
  readonly devices?: readonly string[] | undefined
  /** How soon the kernel ends it when memory runs out, -1000 to 1000; what the machine does not allow is left. */
  readonly oomScoreAdj?: number | undefined
  /** Docker's filter of system calls, none, or an own profile: an object, or a path of its JSON. Default `default`. */
  readonly seccomp?: 'default' | 'unconfined' | (string & {}) | SeccompProfile | undefined
  /** `NET_ADMIN`, `CAP_NET_ADMIN` or `ALL`. */
  readonly capAdd?: readonly string[] | undefined
  readonly capDrop?: readonly string[] | undefined
  /** No program gains rights by being executed, set-uid or otherwise. Default false. */
  readonly noNewPrivileges?: boolean | undefined
  /** All capabilities and devices, no filter of system calls, nothing masked or read-only. Default false. */
  readonly privileged?: boolean | undefined
  /** A read-only root file system. Default false. */
  readonly readonly?: boolean | undefined
  /** Size of /dev/shm. Default `64m`. */
  readonly shmSize?: number | string | undefined
  readonly ulimits?: Readonly<Record<string, number | { readonly soft: number; readonly hard: number }>> | undefined
  readonly sysctls?: Readonly<Record<string, string>> | undefined
  /** Lines of /etc/hosts: an address by name; `host-gateway` is the machine that the tests run on. */
  readonly extraHosts?: Readonly<Record<string, string>> | undefined
  /** Name servers instead of the machine's. */
  readonly dns?: readonly string[] | undefined
  /** Domains to look bare names up in; `.` for none. Default: the machine's. */
  readonly dnsSearch?: readonly string[] | undefined
  /** Options of resolv.conf, such as `ndots:2`. */
  readonly dnsOptions?: readonly string[] | undefined
}

export type Mount = BindMount | VolumeMount

/** A file or directory of the host, in a container. */
export interface BindMount {
  /** A file or directory of the host. */
  readonly source: string
  readonly target: string
  /** The mounts below it included. Default false. */
  readonly readonly?: boolean | undefined
  /** Whether what is mounted below the source comes along. Default true. */
  readonly recursive?: boolean | undefined
  /** `rslave`: what the host mounts there later appears. Nothing of a container's ever reaches the host. Default `rprivate`. */
  readonly propagation?: 'private' | 'rprivate' | 'slave' | 'rslave' | undefined
}

/** A volume in a container: a directory that outlives it, or is shared. */
export interface VolumeMount {
  /** A name, or what `volume()` answered. Default: one of the container's own, which goes with it. */
  readonly volume?: string | { readonly name: string; readonly directory: string } | undefined
  readonly target: string
  readonly readonly?: boolean | undefined
  /** An empty volume begins empty, not with what the image has there. Default false. */
  readonly nocopy?: boolean | undefined
}

/** `private` is the default; `container:` is followed by the name or id of a container of the same run. */
export type NamespaceMode = 'private' | 'host' | `container:${string}`

/** A mount whose source is known. */
export interface ResolvedMount extends BindMount {
  /** An empty source gets what the image has at the target. */
  readonly seed?: boolean | undefined
}

/** Options whose names have been looked up: containers by id, devices by number, volumes by directory, the profile read. */
export interface ResolvedOptions extends Omit<SandboxOptions, 'devices' | 'seccomp' | 'mounts'> {
  readonly mounts?: readonly ResolvedMount[] | undefined
  readonly devices?: readonly DeviceNode[] | undefined
  /** Absent: Docker's. */
  readonly seccomp?: 'unconfined' | SeccompProfile | undefined
}
