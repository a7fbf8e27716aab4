import { isDigest, type Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import { formatPlatform, platformFit, type Platform } from '../platform.js'

/** A content-addressed part of an image. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

export interface ImageManifest {
  readonly kind: 'image'
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

export interface ImageIndex {
  readonly kind: 'index'
  readonly manifests: readonly (Descriptor & { readonly platform?: Platform })[]
}

export const MANIFEST_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
]

/** Reads a manifest or an index. Throws ERR_MAYFLY_MANIFEST_INVALID naming `what` for anything else. */
export function parseManifest(bytes: Buffer, what: string): ImageManifest | ImageIndex {
  const json = object(parseJson(bytes, what), what)
  if (json['schemaVersion'] === 1) throw invalid(what, 'it has the schema 1 form, which registries gave up years ago')
  const hasLayers = Object.hasOwn(json, 'layers') || Object.hasOwn(json, 'config')
  if (Object.hasOwn(json, 'manifests')) {
    if (hasLayers) throw invalid(what, 'it claims to be an index and an image at once')
    checkMediaType(json['mediaType'], /index|list/, what)
    return { kind: 'index', manifests: array(json['manifests'], what).map((entry) => indexEntry(entry, what)) }
  }
  if (!hasLayers) throw invalid(what, 'it has neither layers nor manifests')
  checkMediaType(json['mediaType'], /manifest\.v/, what)
  return {
    kind: 'image',
    config: descriptor(json['config'], what),
    layers: array(json['layers'], what).map((entry) => layerDescriptor(entry, what)),
  }
}

/** The entry of an index that fits best. Throws ERR_MAYFLY_PLATFORM_MISMATCH listing what there is. */
export function choosePlatform(index: ImageIndex, wanted: Platform, what: string): Descriptor {
  const fits = index.manifests
    .map((entry) => ({ entry, fit: entry.platform === undefined ? 0 : platformFit(wanted, entry.platform) }))
    .filter(({ fit }) => fit > 0)
    .sort((a, b) => b.fit - a.fit)
  const only = index.manifests.length === 1 && index.manifests[0]?.platform === undefined ? index.manifests[0] : undefined
  const best = fits[0]?.entry ?? only
  if (best !== undefined) return best
  const offered = index.manifests.flatMap(({ platform }) => platform === undefined || platform.os === 'unknown' ? [] : [formatPlatform(platform)])
  throw new MayflyError('ERR_MAYFLY_PLATFORM_MISMATCH', `${what} has no variant for ${formatPlatform(wanted)}; it offers ${offered.join(', ') || 'none'}`, {
    details: { wanted: formatPlatform(wanted), offered },
  })
}

export function parseJson(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw new MayflyError('ERR_MAYFLY_MANIFEST_INVALID', `${what} is not JSON`, { cause })
  }
}

function indexEntry(value: unknown, what: string): Descriptor & { platform?: Platform } {
  const base = descriptor(value, what)
  const platform = (value as Record<string, unknown>)['platform']
  if (typeof platform !== 'object' || platform === null) return base
  const { os, architecture, variant } = platform as Record<string, unknown>
  if (typeof os !== 'string' || typeof architecture !== 'string') return base
  return { ...base, platform: { os, architecture, ...(typeof variant === 'string' && variant !== '' ? { variant } : {}) } }
}

function layerDescriptor(value: unknown, what: string): Descriptor {
  const found = descriptor(value, what)
  if (!/layer|rootfs|tar/.test(found.mediaType)) throw invalid(what, `it is no container image (layer type ${found.mediaType.slice(0, 80)})`)
  return found
}

function descriptor(value: unknown, what: string): Descriptor {
  const { mediaType, digest, size } = object(value, what)
  if (!isDigest(digest)) throw invalid(what, 'a descriptor has no sha256 digest')
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw invalid(what, 'a descriptor has no size')
  return { mediaType: typeof mediaType === 'string' ? mediaType : '', digest, size }
}

function checkMediaType(mediaType: unknown, expected: RegExp, what: string): void {
  if (typeof mediaType === 'string' && !expected.test(mediaType)) throw invalid(what, 'its media type contradicts its content')
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw invalid(what, 'an object is missing')
}

function array(value: unknown, what: string): unknown[] {
  if (Array.isArray(value) && value.length <= 1000) return value
  throw invalid(what, 'a list is missing or has more than 1000 entries')
}

function invalid(what: string, why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_MANIFEST_INVALID', `The manifest of ${what} cannot be used: ${why}`)
}
