import { MayflyError } from '../errors.js'
import type { Facts } from './presets/index.js'

/** How an instance is reached, as plain values. */
export interface Address {
  readonly host: string
  readonly ports: Readonly<Record<string, number>>
  /** Ports of datagrams; absent where the container's own are meant. */
  readonly udp?: Readonly<Record<string, number>> | undefined
  readonly facts: Facts
  readonly exports: Readonly<Record<string, string>>
}

/** The number of a container's port among `ports`. Throws ERR_MAYFLY_OPTION_INVALID with those there are. */
export function numberOf(ports: Readonly<Record<string, number>>, container: number): number {
  const number = ports[String(container)]
  if (number !== undefined) return number
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Port ${String(container)} is not reachable`, {
    hint: `Reachable are: ${Object.keys(ports).join(', ') || 'none'}. List further ones in \`ports\`.`,
  })
}
