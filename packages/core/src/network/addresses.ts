import { MayflyError } from '../errors.js'

/** Hands out the addresses of a subnet: never its first ones nor its last, and a freed one as late as possible. */
export class Addresses {
  readonly #taken = new Set<number>()
  readonly #first: number
  #last: number
  #next: number

  /** `skip`: so many addresses at its beginning are others'. */
  constructor(subnet: number, prefix: number, skip = 3) {
    this.#first = subnet + skip
    this.#last = subnet + 2 ** (32 - prefix) - 2
    this.#next = this.#first
  }

  /** Gives out only what lies between the two from now on; another may still be asked for by `claim`. */
  static between(first: number, last: number): Addresses {
    const made = new Addresses(first, 32, 0)
    made.#last = last
    return made
  }

  /** This very address. Throws ERR_MAYFLY_ADDRESS_IN_USE. */
  claim(address: number): number {
    if (this.#taken.has(address)) throw new MayflyError('ERR_MAYFLY_ADDRESS_IN_USE', `The address ${formatAddress(address)} is in use already`)
    this.#taken.add(address)
    return address
  }

  take(): number {
    const count = this.#last - this.#first + 1
    for (let tried = 0; tried < count; tried += 1) {
      const address = this.#next
      this.#next = address === this.#last ? this.#first : address + 1
      if (this.#taken.has(address)) continue
      this.#taken.add(address)
      return address
    }
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `A network has at most ${Math.max(0, count)} containers at a time`)
  }

  free(address: number): void {
    this.#taken.delete(address)
  }
}

/** `198.18.0.2` of 0xC6120002. */
export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => address >>> shift & 255).join('.')
}

/** 0xC6120002 of `198.18.0.2`. Throws ERR_MAYFLY_OPTION_INVALID for text that is no IPv4 address. */
export function parseAddress(text: string): number {
  const parts = /^\d{1,3}(\.\d{1,3}){3}$/.test(text) ? text.split('.').map(Number) : []
  if (parts.length === 0 || parts.some((part) => part > 255)) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `"${text}" is no IPv4 address`)
  }
  return parts.reduce((sum, part) => sum * 256 + part, 0)
}
