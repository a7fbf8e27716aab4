import { expect, test } from 'vitest'

import { chainIds, digestOf, parseDigest } from '../src/digest.js'

test('only well-formed sha256 digests are digests', () => {
  const good = digestOf('x')
  expect(parseDigest(good)).toBe(good)
  for (const bad of ['', 'sha256:', `${good}0`, good.toUpperCase(), `sha256:../../${good.slice(13)}`, `md5:${good.slice(7)}`, 7]) {
    expect(() => parseDigest(bad)).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_DIGEST_INVALID' }) as Error)
  }
})

test('a chain id hashes the chain below and the layer', () => {
  const [a, b] = [digestOf('a'), digestOf('b')]
  expect(chainIds([a, b])).toEqual([a, digestOf(`${a} ${b}`)])
})
