/** The operations' numbers on the wire (docs/protocol.md, Operations). */
export const OP = {
  cgroup: 1, loopback: 2, veth: 3, hostname: 4, rootfs: 5, bindroot: 6, mkdir: 7, file: 8, symlink: 9, device: 10,
  mountProc: 11, mountSysfs: 12, mountTmpfs: 13, mountDevpts: 14, mountMqueue: 15, mountBind: 16, mountCgroup: 17,
  mask: 18, readonly: 19, pivot: 20, sysctl: 21, umask: 22, rlimit: 23, chdir: 24, groups: 25, user: 26,
  capabilities: 27, nonewprivs: 28, seccomp: 29, join: 30, env: 31, argv: 32, exec: 33, await: 34, oomscore: 35,
  terminal: 36, stage: 37, mountMove: 38, rootfsCopy: 39, rootfsFuse: 40, enter: 41, time: 42, domainname: 43, init: 44,
  mountPeer: 45, devices: 46, link: 53, leave: 54, notify: 55, files: 56, copyOut: 57, copyIn: 58, rootfsAgain: 59,
} as const

/** Bits of `mountTmpfs` and `mountBind`; `seed`, of the latter alone: an empty source first gets what the root has at the target. */
export const MOUNT = { readonly: 1, nosuid: 2, nodev: 4, noexec: 8, seed: 16 } as const

/** The namespaces of container.create: CLONE_NEW* bits. */
export const NAMESPACES = { mount: 0x20000, uts: 0x4000000, ipc: 0x8000000, pid: 0x20000000, net: 0x40000000, time: 0x80 } as const

export type Rootfs =
  | OverlayRootfs
  /** The layers, top first, are copied into a new directory. */
  | { readonly driver: 'copy'; readonly lowers: readonly string[]; readonly directory: string }
  /** A helper serves it. */
  | { readonly driver: 'fuse-overlayfs' }
  /** What the container had when it ended. */
  | { readonly driver: 'again' }

export interface OverlayRootfs {
  readonly driver: 'overlay'
  /** Absolute directories, top first. */
  readonly lowers: readonly string[]
  /** Absolute directories on disk; empty for a tmpfs of `tmpfsSize` bytes (0: half of memory). */
  readonly upper: string
  readonly work: string
  readonly tmpfsSize: number
  /** Its marks are attributes that an ordinary user may set. */
  readonly userxattr: boolean
}

export interface CapabilitySets {
  readonly bounding: bigint
  readonly effective: bigint
  readonly inheritable: bigint
  readonly ambient: bigint
}

/** A container's interface eth`number` on a bridge, which is named by its index in the hub. */
export interface Link {
  readonly number: number
  readonly bridge: number
  readonly address: number
  readonly prefix: number
  /** 0 when it leads nowhere. */
  readonly gateway: number
  /** What lies behind the gateway. */
  readonly beyond: { readonly address: number; readonly prefix: number }
  readonly from?: { readonly address: number; readonly prefix: number } | undefined
}

/** Where a tar's entries go in a container, and whose they are. */
export interface CopyInto {
  readonly target: string
  /** Missing directories are made. */
  readonly parents: boolean
  /** The tar is one file or directory, which may take the target's name; else its entries count from the target. */
  readonly resource: boolean
  /** As the tar says, instead of `uid` and `gid`. */
  readonly owners: boolean
  readonly uid: number
  readonly gid: number
  /** Of files. */
  readonly mode: number | undefined
}
