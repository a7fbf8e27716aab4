import { totalmem } from 'node:os'

import { METHOD, Reader, type Connection } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import type { Features } from '../sandbox/index.js'
import type { Run } from './supervision.js'
import type { ContainerStats } from './types.js'

/**
 * What a container has used so far, from its cgroups and its network's counters. What the machine does not count is 0; without
 * cgroups its processes are added up.
 */
export async function readStats(run: Pick<Run, 'connection' | 'hello'>, container: string, network: boolean): Promise<ContainerStats> {
  const { connection, hello: { features } } = run
  const counted = features.get('cgroup') === 'none'
  const v2 = features.get('cgroup') === 'v2'
  const read = async (controller: string, file: string): Promise<string> => {
    const fields = new Writer().str(container).str(controller).str(file).take()
    const reply = await connection.request(METHOD.cgroupRead, fields).catch(() => undefined)
    return reply === undefined ? '' : new Reader(reply).str()
  }
  const count = async (controller: string, file: string): Promise<number> => Number((await read(controller, file)).trim() || 0)
  const interfaces = async (): Promise<string> => {
    const reply = await connection.request(METHOD.netdev, new Writer().str(container).str('dev').take()).catch(() => undefined)
    return reply === undefined ? '' : new Reader(reply).str()
  }
  const [memory, memoryPeak, cpu, pids, io, traffic] = await Promise.all([
    count('memory', v2 ? 'memory.current' : 'memory.usage_in_bytes'),
    count('memory', v2 ? 'memory.peak' : 'memory.max_usage_in_bytes'),
    v2 ? read('cpu', 'cpu.stat').then((text) => Number(/usage_usec (\d+)/.exec(text)?.[1] ?? 0) * 1000) : count('cpuacct', 'cpuacct.usage'),
    count('pids', 'pids.current'),
    v2 ? read('io', 'io.stat').then(ioOfV2) : read('blkio', 'blkio.throttle.io_service_bytes').then(ioOfV1),
    network ? interfaces().then(trafficOf) : { received: 0, sent: 0 },
  ])
  if (counted) return { ...await sumOf(run, container), io, network: traffic }
  return { memory, memoryPeak: Math.max(memory, memoryPeak), cpu, pids, io, network: traffic }
}

async function sumOf(run: Pick<Run, 'connection' | 'hello'>, container: string): Promise<Pick<ContainerStats, 'memory' | 'memoryPeak' | 'cpu' | 'pids'>> {
  const all = await (await import('./top.js')).processesOf(run, container)
  const [memory, cpu] = [all.reduce((sum, one) => sum + one.memory, 0), all.reduce((sum, one) => sum + one.cpu, 0)]
  return { memory, memoryPeak: memory, cpu, pids: all.length }
}

/** Bytes of memory it may use: its own limit, else the machine's memory. */
export async function readMemoryLimit(connection: Connection, features: Features, container: string): Promise<number> {
  const file = features.get('cgroup') === 'v2' ? 'memory.max' : 'memory.limit_in_bytes'
  const reply = await connection.request(METHOD.cgroupRead, new Writer().str(container).str('memory').str(file).take()).catch(() => undefined)
  const limit = reply === undefined ? Number.NaN : Number(new Reader(reply).str().trim())
  return limit > 0 && limit < totalmem() ? limit : totalmem()
}

/** Lines such as `254:0 Read 4096`. */
export function ioOfV1(text: string): ContainerStats['io'] {
  const sum = (word: string): number => total([...text.matchAll(new RegExp(`^\\d+:\\d+ ${word} (\\d+)$`, 'gm'))].map((match) => match[1]))
  return { read: sum('Read'), written: sum('Write') }
}

/** Lines such as `254:0 rbytes=4096 wbytes=0 …`. */
export function ioOfV2(text: string): ContainerStats['io'] {
  const sum = (word: string): number => total([...text.matchAll(new RegExp(`\\b${word}=(\\d+)`, 'g'))].map((match) => match[1]))
  return { read: sum('rbytes'), written: sum('wbytes') }
}

/** /proc/net/dev: bytes received first, bytes sent ninth. */
export function trafficOf(text: string): ContainerStats['network'] {
  const rows = [...text.matchAll(/^\s*([^\s:]+):\s*(.*)$/gm)].filter((match) => match[1] !== 'lo').map((match) => (match[2] ?? '').trim().split(/\s+/))
  return { received: total(rows.map((row) => row[0])), sent: total(rows.map((row) => row[8])) }
}

function total(numbers: readonly (string | undefined)[]): number {
  return numbers.reduce((sum, number) => sum + Number(number ?? 0), 0)
}
