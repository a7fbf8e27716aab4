import { readdir, readFile, readlink } from 'node:fs/promises'

/** A process of this machine that is connected to a service. */
export interface Client {
  /** Such as `psql, pid 71`. */
  readonly owner: string
  readonly local: string
  readonly remote: string
}

const ESTABLISHED = '01'

/** Who on this machine is connected to these ports of an address. */
export async function clientsOf(host: string, ports: ReadonlySet<number>): Promise<readonly Client[]> {
  const table = (await Promise.all(['tcp', 'tcp6'].map(name => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')))).join('')
  const found = table.split('\n').map(line => line.trim().split(/\s+/)).flatMap(([, local = '', remote = '', state, , , , , , inode = '']) => {
    const [there, here] = [endOf(remote), endOf(local)]
    return state === ESTABLISHED && there.host === host && ports.has(there.port) ? [{ here, there, inode }] : []
  })
  if (found.length === 0) return []
  const owners = await ownersOf(new Set(found.map(({ inode }) => inode)))
  return found.map(({ here, there, inode }) => ({
    owner: owners.get(inode) ?? 'a process of another user', local: `${here.host}:${String(here.port)}`, remote: `${there.host}:${String(there.port)}`,
  }))
}

/** One end as /proc/net/tcp writes it: the address in the machine's byte order, an IPv4 one last where it is mapped. */
function endOf(text: string): { readonly host: string; readonly port: number } {
  const [address = '', port = ''] = text.split(':')
  const bytes = address.slice(-8).match(/../g) ?? []
  return { host: bytes.map(byte => parseInt(byte, 16)).reverse().join('.'), port: parseInt(port, 16) }
}

/** Processes by the sockets they have. Those of others are not seen. */
async function ownersOf(inodes: ReadonlySet<string>): Promise<ReadonlyMap<string, string>> {
  const owners = new Map<string, string>()
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  await Promise.all(pids.map(async pid => {
    const files = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const file of files) {
      const inode = /^socket:\[(\d+)\]$/.exec(await readlink(`/proc/${pid}/fd/${file}`).catch(() => ''))?.[1] ?? ''
      if (!inodes.has(inode)) continue
      const name = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim()
      owners.set(inode, Number(pid) === process.pid ? 'the configuration itself' : `${name}, pid ${pid}`)
    }
  }))
  return owners
}
