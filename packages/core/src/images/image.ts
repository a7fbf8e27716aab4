import { utimes } from 'node:fs/promises'

import { chainIds, type Digest } from '../digest.js'
import { readFromStack, type StackLayer } from '../layers/stack.js'
import { parseManifest, type ImageManifest } from '../registry/manifest.js'
import type { Reference } from '../reference.js'
import { parseConfig, type ImageConfig, type ParsedConfig } from './config.js'
import type { WantedLayer } from './layer.js'
import { findLayer, syncSettled } from './record.js'
import { blobPath, readBlob, type Store } from './store.js'

/** An image whose layers are all unpacked in the store. */
export interface Image {
  readonly reference: Reference
  /** Digest of the configuration: the same for the same image, whatever it is called. */
  readonly id: Digest
  /** Digest of the platform's manifest. */
  readonly digest: Digest
  readonly config: ImageConfig
  /** Absolute directories of the layers, top first. */
  readonly layers: readonly string[]
  /** The same, for looking files up in them. */
  readonly stack: readonly StackLayer[]
  /** Bytes of the compressed layers. */
  readonly size: number
  readonly architecture: string
}

/** A manifest of the store with its configuration. */
export interface StoredManifest {
  readonly digest: Digest
  readonly manifest: ImageManifest
  readonly parsed: ParsedConfig
}

/** The image of a manifest if all of it is in the store. */
export async function loadImage(store: Store, reference: Reference, digest: Digest): Promise<Image | undefined> {
  const stored = await loadManifest(store, reference, digest)
  if (stored === undefined) return undefined
  const { manifest, parsed } = stored
  const found = await Promise.all(wantedLayers(manifest.layers, parsed).map((layer) => findLayer(store, layer)))
  const stack = found.filter((layer) => layer !== undefined)
  if (stack.length < found.length) return undefined
  syncSettled(store, stack)
  noteUse(store, digest)
  // A layer listed twice counts where it lies topmost; the kernel takes no directory twice.
  const layers = new Map(stack.reverse().map(({ directory, opaque }) => [directory, { directory, opaque }]))
  return {
    reference,
    id: manifest.config.digest,
    digest,
    config: parsed.config,
    layers: [...layers.keys()],
    stack: [...layers.values()],
    size: manifest.layers.reduce((sum, { size }) => sum + size, 0),
    architecture: parsed.architecture,
  }
}

const noted = new Set<string>()

/** The time of a manifest's file says when the image was last used, once for each process. */
function noteUse(store: Store, digest: Digest): void {
  const file = blobPath(store, digest)
  if (noted.has(file)) return
  noted.add(file)
  const now = new Date()
  utimes(file, now, now).catch(() => undefined)
}

/** An image's manifest and configuration if both are in the store. */
export async function loadManifest(store: Store, reference: Pick<Reference, 'familiar'>, digest: Digest): Promise<StoredManifest | undefined> {
  const bytes = await readBlob(store, digest)
  const manifest = bytes === undefined ? undefined : parseManifest(bytes, reference.familiar)
  if (manifest?.kind !== 'image') return undefined
  const config = await readBlob(store, manifest.config.digest)
  if (config === undefined) return undefined
  return { digest, manifest, parsed: parseConfig(config, manifest.layers.length, reference.familiar) }
}

/** What the store must hold for an image, bottom layer first. */
export function wantedLayers(blobs: readonly WantedLayer['blob'][], { diffIds }: ParsedConfig): WantedLayer[] {
  const chain = chainIds(diffIds)
  return blobs.flatMap((blob, index) => {
    const diffId = diffIds[index]
    const chainId = chain[index]
    return diffId === undefined || chainId === undefined ? [] : [{ blob, diffId, chainId }]
  })
}

const FILE_LIMIT = 2 ** 20

/** The content of a regular file of the image, at most 1 MiB; `undefined` when there is none. Links cannot leave it. */
export async function imageFile(image: Pick<Image, 'stack'>, path: string): Promise<Buffer | undefined> {
  return readFromStack(image.stack, path, FILE_LIMIT)
}
