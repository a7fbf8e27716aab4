import { MayflyError } from '../errors.js'
import { formatAddress } from '../network/addresses.js'
import { containerPorts, exposed, parsePorts, type Protocol } from '../network/ports.js'
import type { HandleInput } from './handle-input.js'
import { exposedPorts, isOnLoopback, optionPorts } from './own-ports.js'

/** Where a container's ports answer. */
export class Endpoints {
  /** Its own address; the loopback's where it has none. */
  readonly ip: string
  /** The host of its URLs. */
  readonly host: string
  readonly #input: Pick<HandleInput, 'image' | 'options' | 'published'>

  constructor(input: Pick<HandleInput, 'image' | 'options' | 'published' | 'address' | 'run'>) {
    this.#input = input
    this.ip = input.address === undefined ? '127.0.0.1' : formatAddress(input.address)
    this.host = isOnLoopback(input.options) || !input.run.reachable || input.address === undefined ? '127.0.0.1' : this.ip
  }

  /** Every TCP port the image EXPOSEs or the options name. */
  get ports(): readonly number[] {
    return [...new Set([...optionPorts(this.#input.options), ...exposedPorts(this.#input.image)])]
  }

  get udpPorts(): readonly number[] {
    const { options: { ports }, image: { config } } = this.#input
    return [...new Set([...containerPorts(parsePorts(ports), 'udp'), ...exposed(config.ExposedPorts, 'udp')])]
  }

  /** The number at `host`. Throws ERR_MAYFLY_OPTION_INVALID for a port that is not published, where only these are reached. */
  port(container: number, protocol: Protocol = 'tcp'): number {
    const published = this.#input.published.find((one) => one.container === container && one.protocol === protocol)?.number
    if (this.host === '127.0.0.1' && published !== undefined) return published
    if (this.host !== '127.0.0.1' && Number.isInteger(container) && container > 0 && container < 65_536) return container
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${this.#image} does not publish ${protocol === 'tcp' ? 'port' : 'UDP port'} ${container}`, {
      hint: `Add it: run(image, { ports: [${protocol === 'tcp' ? container : `'${container}/udp'`}] }).`,
    })
  }

  urlOf(container: number, scheme = 'http'): string {
    return `${scheme}://${this.host}:${this.port(container)}`
  }

  /** Asks its first port. Throws ERR_MAYFLY_OPTION_INVALID when it has none. */
  async fetch(path: string, init?: RequestInit): Promise<Response> {
    const port = this.ports[0]
    if (port === undefined) {
      throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${this.#image} has no port to fetch from`, {
        hint: 'Name one: run(image, { ports: [8080] }).',
      })
    }
    return fetch(new URL(path, `${this.urlOf(port)}/`), init)
  }

  get #image(): string {
    return this.#input.image.reference.familiar
  }
}
