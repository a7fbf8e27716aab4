import { createHash } from 'node:crypto'

import { MayflyError } from './errors.js'

declare const digestBrand: unique symbol

/** `sha256:` and 64 lower-case hexadecimal digits. Checked, so its hex part is safe as a file name. */
export type Digest = string & { readonly [digestBrand]: true }

const FORM = /^sha256:[0-9a-f]{64}$/

/** Checks a digest. Throws ERR_MAYFLY_DIGEST_INVALID for anything but a well-formed sha256 digest. */
export function parseDigest(text: unknown): Digest {
  if (isDigest(text)) return text
  const shown = typeof text === 'string' ? JSON.stringify(text.slice(0, 100)) : typeof text
  throw new MayflyError('ERR_MAYFLY_DIGEST_INVALID', `Not a sha256 digest: ${shown}`, {
    hint: 'A digest is "sha256:" and 64 lower-case hexadecimal digits.',
  })
}

export function isDigest(value: unknown): value is Digest {
  return typeof value === 'string' && FORM.test(value)
}

export function digestOf(bytes: Uint8Array | string): Digest {
  return digestFromHex(createHash('sha256').update(bytes).digest('hex'))
}

export function digestFromHex(hex: string): Digest {
  return parseDigest(`sha256:${hex}`)
}

/** The 64 hexadecimal digits. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length)
}

/** The chain ids of layers given bottom first (OCI image specification, "Layer ChainID"). */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = []
  for (const diffId of diffIds) {
    const below = chain.at(-1)
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`))
  }
  return chain
}
