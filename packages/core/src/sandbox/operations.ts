import { Writer } from '../native/bytes.js'
import { OP, type CapabilitySets, type CopyInto, type Link, type Rootfs } from './operation-types.js'

export { MOUNT, NAMESPACES, OP } from './operation-types.js'
export type { CapabilitySets, CopyInto, Link, OverlayRootfs, Rootfs } from './operation-types.js'

const NO_MODE = 0xffffffff

/** Builds an operation list. */
export class Operations {
  readonly #list = new Writer(4096)

  cgroup(unshare: boolean): this {
    return this.#add(OP.cgroup, (w) => w.u8(Number(unshare)))
  }

  loopback(): this {
    return this.#add(OP.loopback)
  }

  veth(address: number, prefix: number, gateway: number): this {
    return this.#add(OP.veth, (w) => w.u32(address).u8(prefix).u32(gateway))
  }

  /** An interface on a bridge of the hub's. `from`: it is there already, with this address, and moves. */
  link(link: Link): this {
    const { number, bridge, address, prefix, gateway, beyond, from } = link
    return this.#add(OP.link, (w) =>
      w.u8(number).u32(bridge).u32(address).u8(prefix).u32(gateway).u32(beyond.address).u8(beyond.prefix).u32(from?.address ?? 0).u8(from?.prefix ?? 0))
  }

  /** Shares a namespace of another container's; of the host's (the network alone) when `container` is empty. */
  enter(namespace: number, container: string): this {
    return this.#add(OP.enter, (w) => w.u32(namespace).str(container))
  }

  /** A time namespace whose clocks are ahead by so many seconds. */
  time(monotonic: number, boottime: number): this {
    return this.#add(OP.time, (w) => w.u64(BigInt.asUintN(64, BigInt(monotonic))).u64(BigInt.asUintN(64, BigInt(boottime))))
  }

  /** Attaches a BPF program that decides on devices (cgroup v2). */
  devices(program: Uint8Array): this {
    return this.#add(OP.devices, (w) => w.bytes(program))
  }

  domainname(name: string): this {
    return this.#add(OP.domainname, (w) => w.str(name))
  }

  hostname(name: string): this {
    return this.#add(OP.hostname, (w) => w.str(name))
  }

  /** Begins a tree beside the root to come; what is mounted in it is taken over by `mountMove`. */
  stage(): this {
    return this.#add(OP.stage)
  }

  mountMove(target: string): this {
    return this.#add(OP.mountMove, (w) => w.str(target))
  }

  rootfs(rootfs: Rootfs): this {
    if (rootfs.driver === 'fuse-overlayfs') return this.#add(OP.rootfsFuse)
    if (rootfs.driver === 'again') return this.#add(OP.rootfsAgain)
    if (rootfs.driver === 'copy') {
      const { lowers, directory } = rootfs
      return this.#add(OP.rootfsCopy, (w) => w.list(lowers, (lower) => w.str(lower)).str(directory))
    }
    const { lowers, upper, work, tmpfsSize, userxattr } = rootfs
    return this.#add(OP.rootfs, (w) =>
      w.list(lowers, (lower) => w.str(lower)).str(upper).str(work).u64(tmpfsSize).u32(Number(userxattr)))
  }

  mkdir(target: string, mode: number, parents = true): this {
    return this.#add(OP.mkdir, (w) => w.str(target).u32(mode).u8(Number(parents)))
  }

  file(target: string, mode: number, content: string | Uint8Array): this {
    return this.#add(OP.file, (w) => w.str(target).u32(mode).bytes(Buffer.from(content)))
  }

  symlink(target: string, value: string): this {
    return this.#add(OP.symlink, (w) => w.str(target).str(value))
  }

  device(target: string, mode: number, major: number, minor: number, type: 'b' | 'c' | 'p' = 'c'): this {
    return this.#add(OP.device, (w) => w.str(target).u32(mode).u32(major).u32(minor).u8(type.charCodeAt(0)))
  }

  mountProc(target: string): this {
    return this.#add(OP.mountProc, (w) => w.str(target))
  }

  mountSysfs(target: string, readonly: boolean): this {
    return this.#add(OP.mountSysfs, (w) => w.str(target).u8(Number(readonly)))
  }

  mountTmpfs(target: string, mode: number, size: number, flags: number, uid = 0, gid = 0): this {
    return this.#add(OP.mountTmpfs, (w) => w.str(target).u32(mode).u64(size).u32(flags).u32(uid).u32(gid))
  }

  mountDevpts(target: string): this {
    return this.#add(OP.mountDevpts, (w) => w.str(target))
  }

  mountMqueue(target: string): this {
    return this.#add(OP.mountMqueue, (w) => w.str(target))
  }

  /** `slave`: what the host mounts below the source later appears in the container too. */
  mountBind(source: string, target: string, flags: number, recursive = true, slave = false): this {
    return this.#add(OP.mountBind, (w) => w.str(source).str(target).u32(flags).u8(Number(recursive)).u8(Number(slave)))
  }

  /** A directory of another container's, shared. */
  mountPeer(container: string, source: string, target: string): this {
    return this.#add(OP.mountPeer, (w) => w.str(container).str(source).str(target))
  }

  mountCgroup(target: string, readonly: boolean): this {
    return this.#add(OP.mountCgroup, (w) => w.str(target).u8(Number(readonly)))
  }

  mask(target: string): this {
    return this.#add(OP.mask, (w) => w.str(target))
  }

  readonly(target: string): this {
    return this.#add(OP.readonly, (w) => w.str(target))
  }

  pivot(root: { readonly readonly: boolean; readonly nodev: boolean }): this {
    return this.#add(OP.pivot, (w) => w.u8(Number(root.readonly) | Number(root.nodev) << 1))
  }

  sysctl(name: string, value: string): this {
    return this.#add(OP.sysctl, (w) => w.str(name).str(value))
  }

  umask(mask: number): this {
    return this.#add(OP.umask, (w) => w.u32(mask))
  }

  rlimit(resource: number, soft: bigint, hard: bigint): this {
    return this.#add(OP.rlimit, (w) => w.u32(resource).u64(soft).u64(hard))
  }

  chdir(target: string): this {
    return this.#add(OP.chdir, (w) => w.str(target))
  }

  groups(groups: readonly number[]): this {
    return this.#add(OP.groups, (w) => w.list(groups, (group) => w.u32(group)))
  }

  user(uid: number, gid: number): this {
    return this.#add(OP.user, (w) => w.u32(uid).u32(gid))
  }

  capabilities({ bounding, effective, inheritable, ambient }: CapabilitySets): this {
    return this.#add(OP.capabilities, (w) => w.u64(bounding).u64(effective).u64(inheritable).u64(ambient))
  }

  nonewprivs(): this {
    return this.#add(OP.nonewprivs)
  }

  seccomp(program: Uint8Array): this {
    return this.#add(OP.seccomp, (w) => w.bytes(program))
  }

  join(): this {
    return this.#add(OP.join)
  }

  env(entries: readonly string[]): this {
    return this.#add(OP.env, (w) => w.list(entries, (entry) => w.str(entry)))
  }

  argv(words: readonly string[]): this {
    return this.#add(OP.argv, (w) => w.list(words, (word) => w.str(word)))
  }

  /** From here on the list goes on in a child; pid 1 forwards signals to it, reaps, and ends as it does. */
  init(): this {
    return this.#add(OP.init)
  }

  oomscore(value: number): this {
    return this.#add(OP.oomscore, (w) => w.i32(value))
  }

  /** The container's own terminal, in characters (0: not set); `console`: it is /dev/console, too. */
  terminal({ columns, rows }: { readonly columns: number; readonly rows: number }, console: boolean): this {
    this.#add(OP.terminal, (list) => list.u16(columns).u16(rows).u8(console ? 1 : 0))
    return this
  }

  /** The supervisor hears of the calls that this filter lets it hear of. */
  notify(program: Uint8Array): this {
    this.#add(OP.notify, (list) => list.bytes(program))
    return this
  }

  /** Ends the list: the command replaces the child. */
  exec(): Buffer {
    return this.#add(OP.exec).#list.take()
  }

  /** Ends the list of an exec that runs no command. */
  leave(): Buffer {
    return this.#add(OP.leave).#list.take()
  }

  /** Stands in the container's mounts alone: for an exec of files, which needs no running container. */
  files(): this {
    return this.#add(OP.files)
  }

  /** Ends the list: what is at `source` goes to standard output as a tar. */
  copyOut(source: string, follow: boolean): Buffer {
    return this.#add(OP.copyOut, (w) => w.str(source).u32(Number(follow))).#list.take()
  }

  /** Ends the list: a tar on standard input is unpacked. */
  copyIn({ target, parents, resource, owners, uid, gid, mode }: CopyInto): Buffer {
    const flags = Number(parents) | Number(resource) << 1 | Number(owners) << 2
    return this.#add(OP.copyIn, (w) => w.str(target).u32(flags).u32(uid).u32(gid).u32(mode ?? NO_MODE)).#list.take()
  }

  /** Ends the list of a container that waits for the rest. */
  await(): Buffer {
    return this.#add(OP.await).#list.take()
  }

  /** The list so far, to be followed by another. */
  part(): Buffer {
    return this.#list.take()
  }

  #add(op: number, write?: (writer: Writer) => Writer): this {
    this.#list.u16(op).u16(0).sized(write)
    return this
  }
}
