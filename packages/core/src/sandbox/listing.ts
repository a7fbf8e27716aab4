import { Reader } from '../native/bytes.js'
import { MOUNT, NAMESPACES, OP } from './operations.js'

type Show = (from: Reader) => string

const text: Show = (from) => JSON.stringify(from.str())
const list = (item: Show): Show => (from) => `[${from.list(() => item(from)).join(', ')}]`
const number: Show = (from) => String(from.u32())
const octal: Show = (from) => `0${from.u32().toString(8)}`
const large: Show = (from) => String(from.u64())
const signed: Show = (from) => String(BigInt.asIntN(64, from.u64()))
const hex: Show = (from) => `0x${from.u64().toString(16)}`
const address: Show = (from) => {
  const value = from.u32()
  return [24, 16, 8, 0].map((shift) => value >>> shift & 255).join('.')
}
const small: Show = (from) => String(from.u8())
const flag = (name: string): Show => (from) => from.u8() === 0 ? '' : name
const bits = (names: Readonly<Record<string, number>>, read: (from: Reader) => number): Show => (from) => {
  const value = read(from)
  return Object.entries(names).filter(([, bit]) => (value & bit) !== 0).map(([name]) => name).join(',')
}
const mountFlags = bits(MOUNT, (from) => from.u32())
const content: Show = (from) => JSON.stringify(from.bytes().toString('utf8'))
/** BPF in eights: code, jumps, operand. */
const program: Show = (from) => `${from.u32() / 8} instructions ${from.raw(from.left).toString('base64')}`

/** Names and fields as docs/protocol.md has them. */
const FORMS: Readonly<Record<keyof typeof OP, readonly [string, ...Show[]]>> = {
  cgroup: ['cgroup', flag('namespace')],
  loopback: ['loopback'],
  veth: ['veth', address, small, address],
  hostname: ['hostname', text],
  rootfs: ['rootfs', list(text), text, text, large, number],
  bindroot: ['bindroot', text, flag('readonly')],
  mkdir: ['mkdir', text, octal, flag('parents')],
  file: ['file', text, octal, content],
  symlink: ['symlink', text, text],
  device: ['device', text, octal, number, number, (from) => String.fromCharCode(from.u8())],
  mountProc: ['mount.proc', text],
  mountSysfs: ['mount.sysfs', text, flag('readonly')],
  mountTmpfs: ['mount.tmpfs', text, octal, large, mountFlags, number, number],
  mountDevpts: ['mount.devpts', text],
  mountMqueue: ['mount.mqueue', text],
  mountBind: ['mount.bind', text, text, mountFlags, flag('recursive'), flag('slave')],
  mountCgroup: ['mount.cgroup', text, flag('readonly')],
  mask: ['mask', text],
  readonly: ['readonly', text],
  pivot: ['pivot', bits({ readonly: 1, nodev: 2 }, (from) => from.u8())],
  sysctl: ['sysctl', text, text],
  umask: ['umask', octal],
  rlimit: ['rlimit', number, large, large],
  chdir: ['chdir', text],
  groups: ['groups', list(number)],
  user: ['user', number, number],
  capabilities: ['capabilities', hex, hex, hex, hex],
  nonewprivs: ['nonewprivs'],
  seccomp: ['seccomp', program],
  join: ['join'],
  env: ['env', list(text)],
  argv: ['argv', list(text)],
  exec: ['exec'],
  await: ['await'],
  oomscore: ['oomscore', (from) => String(from.i32())],
  terminal: ['terminal', (from) => String(from.u16()), (from) => String(from.u16()), flag('console')],
  stage: ['stage'],
  mountMove: ['mount.move', text],
  rootfsCopy: ['rootfs.copy', list(text), text],
  rootfsFuse: ['rootfs.fuse'],
  enter: ['enter', bits(NAMESPACES, (from) => from.u32()), text],
  time: ['time', signed, signed],
  domainname: ['domainname', text],
  init: ['init'],
  mountPeer: ['mount.peer', text, text, text],
  devices: ['devices', program],
  notify: ['notify', program],
  link: ['link', small, number, address, small, address, address, small, address, small],
  leave: ['leave'],
  rootfsAgain: ['rootfs.again'],
  files: ['files'],
  copyOut: ['copy.out', text, bits({ follow: 1 }, (from) => from.u32())],
  copyIn: ['copy.in', text, bits({ parents: 1, resource: 2, owners: 4 }, (from) => from.u32()), number, number, octal],
}
const BY_NUMBER = new Map(Object.entries(OP).map(([name, op]) => [op as number, FORMS[name as keyof typeof OP]]))

/** An operation list to be read by people, an operation a line. Throws RangeError for what is none. */
export function listOperations(operations: Buffer): string {
  const from = new Reader(operations)
  const lines: string[] = []
  while (from.left > 0) {
    const op = from.u16()
    from.u16()
    const form = BY_NUMBER.get(op)
    if (form === undefined) throw new RangeError(`There is no operation ${op}`)
    const [name, ...shows] = form
    const fields = new Reader(from.bytes())
    lines.push([name, ...shows.map((show) => show(fields))].filter((part) => part !== '').join(' '))
    if (fields.left > 0) throw new RangeError(`${fields.left} bytes too many in ${name}`)
  }
  return `${lines.join('\n')}\n`
}
