import { MayflyError } from '../errors.js'

/** A block of addresses. The first is nobody's, the second the gateway's, the last for everybody. */
export interface Subnet {
  readonly base: number
  readonly prefix: number
}

/** So many addresses of a subnet no container has. */
const RESERVED = 3
export const DEFAULT_SIZE = 29

/** Cuts a range into subnets for private networks, smallest fit first, and takes them back. */
export class Subnets {
  readonly #free: Subnet[]
  readonly #prefix: number

  constructor(base: number, prefix: number) {
    this.#free = [{ base, prefix }]
    this.#prefix = prefix
  }

  /** A subnet for so many containers. Throws ERR_MAYFLY_OPTION_INVALID, ERR_MAYFLY_UNSUPPORTED when none is left. */
  take(size: number = DEFAULT_SIZE): Subnet {
    const most = 2 ** (32 - this.#prefix) - RESERVED
    if (!Number.isInteger(size) || size < 1 || size > most) {
      throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid size ${String(size)} of a network: it holds 1 to ${most} containers`)
    }
    const wanted = 32 - Math.ceil(Math.log2(size + RESERVED))
    const fits = this.#free.filter(({ prefix }) => prefix <= wanted).sort((a, b) => b.prefix - a.prefix || a.base - b.base)[0]
    if (fits === undefined) {
      throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `No addresses are left for a network of ${size} containers`, {
        hint: 'Remove networks that are no longer used, or ask for smaller ones: network({ size: 5 }).',
      })
    }
    this.#free.splice(this.#free.indexOf(fits), 1)
    let { prefix } = fits
    while (prefix < wanted) {
      prefix += 1
      this.#free.push({ base: fits.base + 2 ** (32 - prefix), prefix })
    }
    return { base: fits.base, prefix }
  }

  free(given: Subnet): void {
    let subnet = given
    for (;;) {
      // Two halves become the whole they were cut from.
      const buddy = (subnet.base ^ 2 ** (32 - subnet.prefix)) >>> 0
      const at = this.#free.findIndex(({ base, prefix }) => base === buddy && prefix === subnet.prefix)
      if (at < 0 || subnet.prefix <= this.#prefix) break
      this.#free.splice(at, 1)
      subnet = { base: Math.min(subnet.base, buddy), prefix: subnet.prefix - 1 }
    }
    this.#free.push(subnet)
  }
}
