import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'

/** What a runner has on the machine at one moment, seen from outside. */
export interface Trail {
  readonly processes: readonly { readonly pid: number; readonly name: string; readonly started: string }[]
  readonly cgroups: readonly string[]
  readonly sockets: readonly string[]
  readonly interfaces: readonly { readonly name: string; readonly index: string }[]
}

/** Follows everything that descends from a process. `address` is a container's: it tells the run's interface. */
export function trailOf(root: number, address: string): Trail {
  const all = processes()
  const found = new Set([root])
  for (let size = 0; size !== found.size;) {
    size = found.size
    for (const one of all) if (found.has(one.parent)) found.add(one.pid)
  }
  const ours = all.filter((one) => found.has(one.pid))
  return {
    processes: ours.map(({ pid, name, started }) => ({ pid, name, started })),
    cgroups: [...new Set(ours.flatMap((one) => cgroupsOf(one.pid)))],
    sockets: [...listenersOf(ours.map(({ pid }) => pid))],
    interfaces: interfacesTo(address),
  }
}

/** What of a trail is still there, as lines to read; and every mount of ours in this namespace. */
export function remains(trail: Trail): string[] {
  const current = processes()
  const alive = trail.processes.filter((one) => {
    const now = current.find(({ pid }) => pid === one.pid)
    return now !== undefined && now.started === one.started && now.state !== 'Z'
  })
  const listening = trail.sockets.length === 0 ? new Set() : listenersOf(current.map(({ pid }) => pid))
  return [
    ...alive.map(({ pid, name }) => `process ${pid} ${name}`),
    ...trail.cgroups.filter((path) => existsSync(path)).map((path) => `cgroup ${path}`),
    ...trail.sockets.filter((socket) => listening.has(socket)).map((socket) => `listener ${socket}`),
    ...trail.interfaces.filter(({ name, index }) => indexOf(name) === index).map(({ name }) => `interface ${name}`),
  ]
}

interface Process {
  readonly pid: number
  readonly parent: number
  readonly name: string
  readonly state: string
  readonly started: string
}

function processes(): Process[] {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).flatMap((pid) => {
    const stat = read(`/proc/${pid}/stat`)
    const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (stat === '') return []
    return [{
      pid: Number(pid), name: stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')),
      state: rest[0] ?? '', parent: Number(rest[1]), started: rest[19] ?? '',
    }]
  })
}

function cgroupsOf(pid: number): string[] {
  const paths = read(`/proc/${pid}/cgroup`).split('\n').map((line) => line.split(':')).filter(([, , path]) => path?.includes('mayfly'))
  return paths.flatMap(([, controllers = '', path = '']) =>
    mountsOf(controllers).map((mount) => join(mount, path)).filter((directory) => existsSync(directory)))
}

function mountsOf(controllers: string): string[] {
  const names = controllers.replace(/^name=/, '').split(',')
  return ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', ...[controllers, ...names].map((name) => `/sys/fs/cgroup/${name}`)]
}

/** TCP and unix listeners of processes in this network namespace. */
function listenersOf(pids: readonly number[]): ReadonlySet<string> {
  const inodes = new Set(pids.flatMap(descriptorsOf).flatMap((text) => /^socket:\[(\d+)\]$/.exec(text)?.[1] ?? []))
  const tcp = rows('/proc/net/tcp').concat(rows('/proc/net/tcp6')).filter((row) => row[3] === '0A' && inodes.has(row[9] ?? ''))
  const unix = rows('/proc/net/unix').filter((row) => row[3] === '00010000' && inodes.has(row[6] ?? ''))
  return new Set([...tcp.map((row) => `tcp ${row[1] ?? ''} ${row[9] ?? ''}`), ...unix.map((row) => `unix ${row[7] ?? ''} ${row[6] ?? ''}`)])
}

function descriptorsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => link(`/proc/${pid}/fd/${fd}`))
  } catch {
    // Gone meanwhile.
    return []
  }
}

function interfacesTo(address: string): Trail['interfaces'] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.some(({ cidr }) => name.startsWith('mayfly') && cidr !== null && contains(cidr, address)) ? [{ name, index: indexOf(name) }] : [])
}

function contains(cidr: string, address: string): boolean {
  const [network = '', prefix = '32'] = cidr.split('/')
  const shift = 32 - Number(prefix)
  return Math.floor(number(network) / 2 ** shift) === Math.floor(number(address) / 2 ** shift)
}

function number(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

function indexOf(name: string): string {
  return read(`/sys/class/net/${name}/ifindex`).trim()
}

function rows(path: string): string[][] {
  return read(path).split('\n').map((line) => line.trim().split(/\s+/))
}

function link(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
