import { Reader } from '../native/bytes.js'

/** A TCP socket that listens in a container. */
export interface Listener {
  readonly port: number
  /** How far it is heard: everywhere, at the container's own loopback alone, or by IPv6 alone. */
  readonly heard: 'everywhere' | 'loopback' | 'IPv6'
}

export function parseListeners(reply: Buffer): Listener[] {
  const reader = new Reader(reply)
  return reader.list(() => {
    const family = reader.u8()
    const address = Array.from({ length: 16 }, () => reader.u8())
    const port = reader.u16()
    const v6only = reader.u8() === 1
    const loopback = family === 4 ? address[0] === 127 : address.every((byte, at) => byte === (at === 15 ? 1 : 0))
    return { port, heard: loopback ? 'loopback' : v6only ? 'IPv6' : 'everywhere' }
  })
}

/** Paths of listening stream sockets in the kernel's table; abstract ones have none. */
export function parseUnix(table: string): string[] {
  const paths = table.split('\n').flatMap((line) => {
    const [, , , flags, type, , , path] = /^(\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\s+(\S+) (\/.+)$/.exec(line)?.slice(1) ?? []
    return path !== undefined && flags === '00010000' && type === '0001' ? [path] : []
  })
  return [...new Set(paths)]
}

/** Why nobody gets through to a port although the service runs, if the sockets tell. */
export function explainListeners(wanted: readonly number[], listeners: readonly Listener[], sockets: readonly string[]): string | undefined {
  for (const port of wanted) {
    const there = listeners.filter((one) => one.port === port)
    if (there.length === 0 || there.some(({ heard }) => heard === 'everywhere')) continue
    return there.some(({ heard }) => heard === 'loopback')
      ? `It listens on port ${port}, but at 127.0.0.1 inside the container alone, which nobody outside reaches: make the service listen on 0.0.0.0.`
      : `It listens on port ${port}, but by IPv6 alone, and networks of containers speak IPv4: make the service listen on 0.0.0.0 as well.`
  }
  if (wanted.length === 0 || listeners.some(({ port }) => wanted.includes(port))) return undefined
  const others = [...new Set(listeners.filter(({ heard }) => heard === 'everywhere').map(({ port }) => port))].sort((a, b) => a - b)
  if (others.length > 0) return `It listens on port ${others.join(', ')}, not on ${wanted.join(', ')}: name that one in \`ports\`, or in the \`ready\` strategy.`
  if (sockets.length > 0) return `It listens on no port, but on the unix socket ${sockets.join(', ')}: wait for that with \`wait.file\`, and reach it with \`container.socket()\`.`
  return undefined
}
