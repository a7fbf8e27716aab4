import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

import type { Protocol } from './ports.js'

const LISTENS = '0A'

/** Who has the port on this machine: `nginx (process 123)`, as far as this user may look. A courtesy of error messages. */
export function holderOf(port: number, protocol: Protocol): string | undefined {
  const inodes = new Set([protocol, `${protocol}6`].flatMap((name) => socketsAt(`/proc/net/${name}`, port, protocol)))
  if (inodes.size === 0) return undefined
  for (const pid of list('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const fd of list(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(link(`/proc/${pid}/fd/${fd}`))?.[1]
      if (inode !== undefined && inodes.has(inode)) return `${read(`/proc/${pid}/comm`).trim()} (process ${pid})`
    }
  }
  return undefined
}

function socketsAt(table: string, port: number, protocol: Protocol): string[] {
  return read(table).split('\n').slice(1).flatMap((line) => {
    const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/)
    const mine = Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16) === port && (protocol === 'udp' || state === LISTENS)
    return mine && inode !== undefined ? [inode] : []
  })
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
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
