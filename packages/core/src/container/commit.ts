import { randomBytes } from 'node:crypto'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

import { chainIds, digestOf, type Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import {
  blobPath, discardTree, noteImage, openLease, openStore, placeMade, readBlob, syncLayers, withTag, writeAtomically, writeRef, type Image, type MadeLayer, type Store,
} from '../images/index.js'
import { layerTar, NOTHING, startUntar, STUBS, type StackLayer } from '../layers/index.js'
import { formatPlatform } from '../platform.js'
import { parseReference } from '../reference.js'
import { parseManifest } from '../registry/index.js'
import type { CommitOptions, CommittedImage } from './types.js'

/** What a container's files and settings are made an image from. */
export interface Committed {
  readonly image: Image
  /** Its upper directory. */
  readonly upper: string
  /** The settings it runs with, as an image's configuration has them. */
  readonly config: Readonly<Record<string, unknown>>
  /** The container's id, as the history names it. */
  readonly id: string
}

/** Writes an image of the container's image with one more layer. [OCI image specification, "Image Configuration"] */
export async function commitChanges({ image, upper, config, id }: Committed, { name, message, author, changes }: CommitOptions): Promise<CommittedImage> {
  const store = await openStore()
  await using lease = await openLease(store)
  await lease.hold(image.digest)
  const base = await documents(store, image)
  const made = await Promise.all(freshTrees(store, image, upper).map(({ directory, lowers }) => layerOf(store, directory, lowers)))
  const layers = made.filter(({ measured: { empty } }) => !empty)
  const diffIds = [...base.diffIds, ...layers.map(({ measured: { diffId } }) => diffId)]
  const chain = chainIds(diffIds).slice(base.diffIds.length)
  const blobs = await Promise.all(layers.map((layer, at) => placeMade(store, lease, { ...layer, chainId: chain[at] ?? layer.measured.diffId, tar: { whole: true } })))
  for (const { place } of made) await discardTree(store, place)
  syncLayers(store, chain)
  const created = new Date().toISOString()
  const changed = changes === undefined ? config : await applied(config, changes)
  const document = Buffer.from(JSON.stringify({
    ...base.config, created, ...(author === undefined ? {} : { author }), config: changed,
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: [...base.history, ...(layers.length === 0 ? [{ created, created_by: `container ${id.slice(0, 12)}`, comment: message ?? '', empty_layer: true }]
      : layers.map(() => ({ created, created_by: `container ${id.slice(0, 12)}`, ...(message === undefined ? {} : { comment: message }), ...(author === undefined ? {} : { author }) })))],
  }))
  const configDigest = digestOf(document)
  const manifest = Buffer.from(JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: configDigest, size: document.length },
    layers: [...base.layers, ...blobs],
  }))
  const digest = digestOf(manifest)
  await lease.hold(configDigest, digest)
  await writeAtomically(blobPath(store, configDigest), document)
  await writeAtomically(blobPath(store, digest), manifest)
  if (name !== undefined) {
    const reference = parseReference(name)
    await writeRef(store, reference, { digest, manifests: { [formatPlatform(base.platform)]: digest }, origin: '', pulledAt: Date.now() })
    noteImage(store, 'tag', configDigest, withTag(reference.familiar))
  }
  return { id: configDigest, digest }
}

/** What is told of it. */
export function committedAs({ id }: CommittedImage, { name, message = '' }: CommitOptions): { readonly imageId: string; readonly reference: string; readonly message: string } {
  return { imageId: id, reference: name === undefined ? '' : withTag(parseReference(name).familiar), message }
}

interface Documents {
  readonly config: Readonly<Record<string, unknown>>
  readonly diffIds: readonly Digest[]
  readonly history: readonly object[]
  readonly layers: readonly object[]
  readonly platform: { readonly os: string, readonly architecture: string, readonly variant?: string }
}

async function documents(store: Store, image: Image): Promise<Documents> {
  const [bytes, raw] = await Promise.all([readBlob(store, image.digest), readBlob(store, image.id)])
  const manifest = bytes === undefined ? undefined : parseManifest(bytes, image.reference.familiar)
  if (raw === undefined || manifest?.kind !== 'image') {
    throw new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `The container's image ${image.reference.familiar} is no longer in the store`, { hint: 'Pull it again.' })
  }
  const config = JSON.parse(raw.toString('utf8')) as Record<string, unknown>
  const { rootfs, history = [], os = 'linux', architecture = image.architecture, variant } = config as {
    rootfs: { diff_ids: Digest[] }, history?: object[], os?: string, architecture?: string, variant?: string
  }
  return { config, diffIds: rootfs.diff_ids, history, layers: manifest.layers, platform: { os, architecture, ...(variant === undefined ? {} : { variant }) } }
}

/** The trees that no blob stands for: the container's changes, and those of snapshots it was started from. Bottom first. */
function freshTrees(store: Store, image: Image, upper: string): { readonly directory: string, readonly lowers: readonly string[] }[] {
  const stack: readonly Pick<StackLayer, 'directory'>[] = [{ directory: upper }, ...image.stack]
  return stack.flatMap(({ directory }, at) => {
    const isBlob = at > 0 && !directory.startsWith(join(store.home, 'snapshots'))
    return isBlob ? [] : [{ directory, lowers: stack.slice(at + 1).map(one => one.directory) }]
  }).reverse()
}

/** A copy: the container may go on with its own. */
async function layerOf(store: Store, directory: string, lowers: readonly string[]): Promise<Pick<MadeLayer, 'place' | 'measured'>> {
  const place = join(store.home, 'ingest', `commit-${randomBytes(6).toString('hex')}`)
  const tree = join(place, 'tree')
  try {
    await mkdir(tree, { recursive: true, mode: 0o755 })
    await chmod(tree, 0o755)
    const { tar, done } = layerTar({ directory, lowers, skip: STUBS })
    const untar = startUntar(tree, { lowers })
    await Promise.all([pipeline(tar, untar.input), done])
    const { measured, opaque } = await untar.done
    if (measured === undefined) throw new MayflyError('ERR_MAYFLY_INTERNAL', 'A layer was not measured')
    return { place, measured: { ...measured, opaque, empty: measured.size === NOTHING } }
  } catch (error) {
    await discardTree(store, place)
    throw error
  }
}

/** Instructions of a Dockerfile that change settings: `CMD ["x"]`, `ENV a=b`. */
async function applied(config: Readonly<Record<string, unknown>>, changes: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const { applyChanges } = await import('../build/changes.js')
  return applyChanges(config, changes)
}
