import { readdir, readFile, readlink } from 'node:fs/promises'

import { decodeList, METHOD } from '../native/index.js'
import type { Run } from './supervision.js'
import type { ContainerProcess } from './types.js'

/** Of the kernel's clock that /proc counts processor time in; a constant of its interface. */
const TICKS = 100

interface Found extends ContainerProcess {
  readonly parent: number
  /** The process ids in every namespace, the machine's first. */
  readonly ids: readonly number[]
}

/**
 * The processes of a container, as this machine's /proc has them: no program of the image is needed. Found below the
 * supervisor, by the pid namespace of the container's own process.
 */
export async function processesOf({ connection, hello }: Pick<Run, 'connection' | 'hello'>, id: string): Promise<ContainerProcess[]> {
  const listed = decodeList(await connection.request(METHOD.list)).find((one) => one.id === id)
  if (listed?.state !== 'running') return []
  const all = await processes()
  const own = all.find(({ parent, ids }) => parent === hello.supervisorPid && ids.includes(listed.pid) && ids[ids.indexOf(hello.supervisorPid) + 1] !== undefined && ids.slice(1).includes(listed.pid))
  if (own === undefined) return []
  const namespace = await namespaceOf(own.hostPid)
  const below = new Set([own.hostPid])
  const inside: Found[] = []
  for (const one of all) {
    // Whoever comes later has a larger number, most often: twice is enough for those who do not.
    if (below.has(one.parent)) below.add(one.hostPid)
  }
  for (const one of all) if (below.has(one.parent)) below.add(one.hostPid)
  for (const one of all) {
    const isOwn = below.has(one.hostPid) || (namespace !== undefined && one.ids.length > own.ids.length - 1 && await namespaceOf(one.hostPid) === namespace)
    if (isOwn) inside.push(one)
  }
  return inside.sort((a, b) => a.pid - b.pid).map(({ parent: _parent, ids: _ids, ...process }) => process)
}

async function processes(): Promise<Found[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  return (await Promise.all(names.map((name) => processAt(Number(name)).catch(() => undefined)))).filter((one) => one !== undefined)
}

async function processAt(hostPid: number): Promise<Found | undefined> {
  const [status, stat, line] = await Promise.all(['status', 'stat', 'cmdline'].map((name) => readFile(`/proc/${hostPid}/${name}`, 'utf8')))
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status ?? '')?.[1] ?? ''
  const ids = field('NSpid').split(/\s+/).map(Number)
  // After the name in parentheses, which may hold anything.
  const fields = (stat ?? '').slice((stat ?? '').lastIndexOf(')') + 2).split(' ')
  const words = (line ?? '').split('\0').slice(0, -1)
  return {
    parent: Number(field('PPid')), ids, hostPid, pid: ids.at(-1) ?? hostPid,
    user: Number(field('Uid').split(/\s+/)[0]), state: fields[0] ?? '?',
    command: words.length > 0 ? words : [`[${field('Name')}]`],
    cpu: (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS * 1e9,
    memory: Number(/^\d+/.exec(field('VmRSS'))?.[0] ?? 0) * 1024,
  }
}

function namespaceOf(hostPid: number): Promise<string | undefined> {
  return readlink(`/proc/${hostPid}/ns/pid`).catch(() => undefined)
}
