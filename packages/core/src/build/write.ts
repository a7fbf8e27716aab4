import { digestOf } from '../digest.js'
import { blobPath, noteImage, withTag, writeAtomically, writeRef } from '../images/index.js'
import { formatPlatform } from '../platform.js'
import { parseReference } from '../reference.js'
import type { Build } from './builder.js'
import { keepLayers } from './keep.js'
import type { BuildState } from './state.js'
import type { BuiltImage } from './types.js'

/** Writes a finished state as an image of the store, under its names. [OCI image specification, "Image Configuration"] */
export async function writeImage(build: Build, state: BuildState): Promise<BuiltImage> {
  const { store, options, epoch } = build
  const labelled = options.labels === undefined ? state.config : { ...state.config, Labels: { ...state.config.Labels, ...options.labels } }
  const layers = await keepLayers(build, state)
  const created = new Date(epoch === undefined ? newest(state) : epoch * 1000).toISOString()
  const config = Buffer.from(JSON.stringify({
    created, ...state.platform, config: labelled,
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: state.history,
  }))
  const id = digestOf(config)
  const manifest = Buffer.from(JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: id, size: config.length },
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  }))
  const digest = digestOf(manifest)
  await build.lease.hold(id, digest)
  await writeAtomically(blobPath(store, id), config)
  await writeAtomically(blobPath(store, digest), manifest)
  const tags = (options.tags ?? []).map(tag => parseReference(tag))
  for (const reference of tags) {
    await writeRef(store, reference, { digest, manifests: { [formatPlatform(state.platform)]: digest }, origin: '', pulledAt: Date.now() })
    noteImage(store, 'tag', id, withTag(reference.familiar))
  }
  return { id, digest, tags: tags.map(({ familiar }) => familiar) }
}

/** An image of which nothing was made anew is the one it was: its time is its last step's. */
function newest({ history }: BuildState): number {
  const times = history.flatMap(({ created }) => (created === undefined ? [] : [Date.parse(created)])).filter(time => !Number.isNaN(time))
  return times.length === 0 ? Date.now() : Math.max(...times)
}
