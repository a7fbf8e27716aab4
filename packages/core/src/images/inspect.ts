import { rawConfig, type StoredImage } from './catalog.js'
import { repositoryOf, withTag } from './names.js'
import { isUnnamed } from './refs.js'
import type { Store } from './store.js'

/** What `inspect` says of an image, with Docker's names for it. */
export interface ImageDocument {
  readonly Id: string
  readonly RepoTags: readonly string[]
  readonly RepoDigests: readonly string[]
  readonly Comment: string
  readonly Created: string
  readonly Author: string
  readonly Config: Readonly<Record<string, unknown>>
  readonly Architecture: string
  readonly Variant?: string
  readonly Os: string
  /** Bytes of the unpacked layers. */
  readonly Size: number
  readonly RootFS: { readonly Type: 'layers', readonly Layers: readonly string[] }
  readonly Metadata: { readonly LastTagTime: string }
  /** The platform's manifest. */
  readonly Descriptor: { readonly digest: string }
}

/** The document of an image. Throws ERR_MAYFLY_STORE_FAILED when its configuration is gone. */
export async function inspectImage(store: Store, image: StoredImage): Promise<ImageDocument> {
  const raw = await rawConfig(store, image)
  const names = image.names.filter(({ reference }) => !isUnnamed(reference))
  const digests = names.map(({ reference, digest }) => `${repositoryOf(reference.familiar)}@${digest}`)
  const { variant, architecture, os } = image.parsed
  return {
    Id: image.id,
    RepoTags: names.flatMap(({ reference }) => reference.digest === undefined ? [withTag(reference.familiar)] : []),
    RepoDigests: [...new Set(digests)],
    Comment: text(raw['comment']),
    Created: text(raw['created']),
    Author: text(raw['author']),
    Config: typeof raw['config'] === 'object' && raw['config'] !== null ? raw['config'] as Record<string, unknown> : {},
    Architecture: architecture,
    ...(variant === undefined ? {} : { Variant: variant }),
    Os: os,
    Size: image.size,
    RootFS: { Type: 'layers', Layers: image.parsed.diffIds },
    Metadata: { LastTagTime: new Date(Math.max(0, ...image.names.map(({ pulledAt }) => pulledAt))).toISOString() },
    Descriptor: { digest: image.digest },
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
