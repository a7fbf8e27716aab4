import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { familyLayout } from './index.mjs'
import { families } from './recipes.mjs'

/**
 * An image's documents, read from the layout it was built into.
 * @param {string} name @param {string} [tag]
 */
export function readImage(name, tag = 'latest') {
  const family = Object.keys(families).find((key) => name in families[key].images)
  if (family === undefined) throw new Error(`no test image is called ${name}`)
  const layout = familyLayout(family)
  const blob = (digest) => JSON.parse(readFileSync(join(layout, 'blobs/sha256', digest.slice(7)), 'utf8'))
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'))
  const tagged = index.manifests.find((entry) => entry.annotations['org.opencontainers.image.ref.name'] === `${name}:${tag}`)
  if (tagged === undefined) throw new Error(`the test image ${name} has no tag ${tag}`)
  const manifest = blob(blob(tagged.digest).manifests[0].digest)
  return { layout, manifest, config: blob(manifest.config.digest) }
}
