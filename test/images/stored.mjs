import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { registryStorage } from './index.mjs'

/**
 * An image's documents and blobs, read from the registry's storage.
 * @param {string} name @param {string} [tag]
 */
export function readImage(name, tag = 'latest') {
  const root = join(registryStorage(), 'docker/registry/v2')
  const digest = readFileSync(join(root, 'repositories/library', name, '_manifests/tags', tag, 'current/link'), 'utf8')
  const blob = (one) => readFileSync(join(root, 'blobs/sha256', one.slice(7, 9), one.slice(7), 'data'))
  const document = (one) => JSON.parse(blob(one).toString())
  const manifest = document(document(digest).manifests[0].digest)
  return { blob, manifest, config: document(manifest.config.digest) }
}
