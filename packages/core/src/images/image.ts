import { chainIds, type Digest } from '../digest.js'
import { readFromStack } from '../layers/index.js'
import { parseManifest } from '../registry/index.js'
import type { Reference } from '../reference.js'
import { parseConfig, type ImageConfig, type ParsedConfig } from './config.js'
import { findLayer, type WantedLayer } from './layer.js'
import { readBlob, type Store } from './store.js'

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
  /** Bytes of the compressed layers. */
  readonly size: number
  readonly architecture: string
}

/** The image of a manifest if all of it is in the store. */
export async function loadImage(store: Store, reference: Reference, digest: Digest): Promise<Image | undefined> {
  const bytes = await readBlob(store, digest)
  const manifest = bytes === undefined ? undefined : parseManifest(bytes, reference.familiar)
  if (manifest?.kind !== 'image') return undefined
  const configBytes = await readBlob(store, manifest.config.digest)
  if (configBytes === undefined) return undefined
  const parsed = parseConfig(configBytes, manifest.layers.length, reference.familiar)
  const wanted = wantedLayers(manifest.layers, parsed)
  const found = await Promise.all(wanted.map((layer) => findLayer(store, layer)))
  const layers = found.filter((layer) => layer !== undefined)
  if (layers.length < found.length) return undefined
  return {
    reference,
    id: manifest.config.digest,
    digest,
    config: parsed.config,
    // A layer listed twice counts where it lies topmost; the kernel takes no directory twice.
    layers: [...new Set(layers.reverse())],
    size: manifest.layers.reduce((sum, { size }) => sum + size, 0),
    architecture: parsed.architecture,
  }
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
export async function imageFile(image: Pick<Image, 'layers'>, path: string): Promise<Buffer | undefined> {
  return readFromStack(image.layers, path, FILE_LIMIT)
}
