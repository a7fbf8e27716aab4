import type { PullProgress } from '../images/progress.js'
import type { PortMapping } from '../network/ports.js'
import type { SandboxOptions } from '../sandbox/options.js'
import type { StartCopy } from './copy-types.js'
import type { Healthcheck } from './health-types.js'
import type { Network } from './network-types.js'
import type { WaitStrategy } from './wait-types.js'

/** How to run an image. Every field is optional; what is left out comes from the image, then from Docker's defaults. */
export interface RunOptions extends Omit<SandboxOptions, 'network'> {
  /**
   * A private network or several, the first of which has the default route and the address of the handle; or `none`,
   * `host`, `container:NAME`. Default: the run's own network, on which containers know no names.
   */
  readonly network?: SandboxOptions['network'] | Network | readonly Network[] | undefined
  /** Ports of this machine's loopback that the container reaches, as `host.mayfly.internal`. Default none. */
  readonly hostPorts?: readonly number[] | undefined
  /** Its address on the first of its private networks, whose subnet was chosen. Default: one that is free. */
  readonly ip?: string | undefined
  /** Further names on its networks. */
  readonly aliases?: readonly string[] | undefined
  /**
   * Ports to publish besides those the image EXPOSEs: a number, Docker's forms (`8080:80`, `127.0.0.1:8080:80`,
   * `5000-5005:5000-5005/udp`), or an object; the machine's side is its loopback.
   */
  readonly ports?: readonly (number | string | PortMapping)[] | undefined
  /**
   * Reach every port through the host's loopback instead of the container's own address. Default false. `direct`: the
   * service itself listens there, on a socket of the machine's that it is handed instead of its own (Linux 5.19), and
   * nothing is copied; neither the container itself nor others on its network reach those ports then.
   */
  readonly loopback?: boolean | 'direct' | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** Unique among this process's running containers. Default: made up from the id. */
  readonly name?: string | undefined
  /** `SIGTERM`, `TERM` or a number. Default: the image's, else SIGTERM. */
  readonly stopSignal?: string | number | undefined
  /** Keep standard input open, for `Container.attach`. Default false. */
  readonly stdin?: boolean | undefined
  /** Output waits, from the first byte, until somebody attaches: none of it is lost to whoever does. Default false. */
  readonly hold?: boolean | undefined
  /** Default `missing`. */
  readonly pull?: 'always' | 'missing' | 'never' | undefined
  /** `os/architecture`. Default: this machine's. */
  readonly platform?: string | undefined
  /** How far the image is, when it has to be pulled. */
  readonly onPull?: ((progress: PullProgress) => void) | undefined
  /** Files that are there when its program starts: `{ source: './site', target: '/srv' }`, `{ content, target, mode }`, `{ tar, target }`. */
  readonly copy?: readonly StartCopy[] | undefined
  /** How it is asked whether it is well. Default: as the image says. */
  readonly healthcheck?: Healthcheck | undefined
  /** When the container counts as started. Default: HEALTHCHECK, else `ports`, else any EXPOSEd port, else running. */
  readonly ready?: WaitStrategy | undefined
  /** Milliseconds, counted once the image is there. Default 60 000. */
  readonly startTimeout?: number | undefined
  /** Ends the start: the container is removed and ERR_MAYFLY_ABORTED thrown. */
  readonly signal?: AbortSignal | undefined
  /** Where the container's changes live. Default `memory`, or `disk` when a memory limit is set. */
  readonly scratch?: 'memory' | 'disk' | undefined
  /**
   * Size of the writable layer, a number of bytes or text such as `64m`; what does not fit fails with ENOSPC. For one in
   * memory, which it then is by default. Default: half of the machine's memory.
   */
  readonly storage?: number | string | undefined
  /**
   * How the root file system comes from the image's layers. Default: MAYFLY_DRIVER, else the first that works of the
   * kernel's overlay, fuse-overlayfs and a copy (by reflink where the file system has it).
   */
  readonly driver?: 'overlay' | 'fuse-overlayfs' | 'copy' | undefined
}
