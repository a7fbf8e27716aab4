import type { Digest } from '../../digest.js'
import type { ImageManifest } from '../../registry/index.js'
import type { ParsedConfig } from '../config.js'

/** An image of an archive: its documents are checked, its layers are not. */
export interface ArchivedImage {
  /** `repository:tag`, as the archive says. */
  readonly names: readonly string[]
  /** What the names stand for: the manifest, or an index. */
  readonly top: Digest
  readonly digest: Digest
  readonly manifest: ImageManifest
  readonly parsed: ParsedConfig
  /** Manifests, indexes and the configuration, to be kept as blobs. */
  readonly documents: readonly (readonly [Digest, Buffer])[]
  /** Where the archive has a layer's blob. */
  readonly fileOf: (blob: Digest) => string
}
