import fc from 'fast-check'
import { expect, test } from 'vitest'

import { Addresses, formatAddress } from '../../src/network/addresses.js'

const SUBNET = 0xc6120000

test('addresses start at .3, never repeat while taken, and stop before broadcast', () => {
  const addresses = new Addresses(SUBNET, 28)
  const taken = Array.from({ length: 12 }, () => addresses.take())
  expect(formatAddress(taken[0] ?? 0)).toBe('198.18.0.3')
  expect(formatAddress(taken.at(-1) ?? 0)).toBe('198.18.0.14')
  expect(new Set(taken).size).toBe(12)
  expect(() => addresses.take()).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_UNSUPPORTED' }))
})

test('a freed address comes back as late as possible, and no two containers share one', () => {
  fc.assert(fc.property(fc.array(fc.nat(20), { maxLength: 200 }), (moves) => {
    const addresses = new Addresses(SUBNET, 27)
    const live: number[] = []
    for (const move of moves) {
      if (move < 12 && live.length < 20) live.push(addresses.take())
      else for (const address of live.splice(move % Math.max(1, live.length), 1)) addresses.free(address)
      expect(new Set(live).size).toBe(live.length)
    }
  }))
  const addresses = new Addresses(SUBNET, 28)
  const first = addresses.take()
  addresses.free(first)
  expect(addresses.take()).not.toBe(first)
})
