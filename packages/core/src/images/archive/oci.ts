import { digestOf, hexOf, parseDigest, type Digest } from '../../digest.js'
import { MayflyError } from '../../errors.js'
import { hostPlatform } from '../../platform.js'
import { choosePlatform, parseJson, parseManifest, type ImageManifest } from '../../registry/index.js'
import { parseConfig } from '../config.js'
import { dockerNames } from './docker.js'
import type { ArchivedImage } from './documents.js'
import { invalid, type Archive } from './read.js'

const MOST_IMAGES = 200

/** The images of an OCI layout, those of this machine's platform. [OCI image specification, image-layout.md] */
export async function readOci(archive: Archive): Promise<ArchivedImage[]> {
  const index = parseJson(await archive.read('index.json'), 'index.json') as { readonly manifests?: unknown }
  const entries: unknown[] = Array.isArray(index.manifests) ? index.manifests : []
  if (entries.length > MOST_IMAGES) throw invalid(`it has more than ${MOST_IMAGES} images`)
  const known = await dockerNames(archive)
  const byTop = new Map<Digest, Set<string>>()
  for (const entry of entries) {
    const { digest, annotations } = (entry ?? {}) as { readonly digest?: unknown, readonly annotations?: unknown }
    const top = parseDigest(digest)
    byTop.set(top, new Set([...byTop.get(top) ?? [], ...namesOf(annotations)]))
  }
  const images: ArchivedImage[] = []
  for (const [top, names] of byTop) {
    const image = await readImage(archive, top)
    images.push({ ...image, names: [...new Set([...names, ...known.get(image.manifest.config.digest) ?? []])] })
  }
  return images
}

function namesOf(annotations: unknown): string[] {
  const said = (typeof annotations === 'object' && annotations !== null ? annotations : {}) as Record<string, unknown>
  // Docker and containerd write the whole name; others only a tag, which is a name only with a repository.
  const name = [said['io.containerd.image.name'], said['org.opencontainers.image.ref.name']].find((one) => typeof one === 'string' && /[:/]/.test(one))
  return typeof name === 'string' ? [name] : []
}

async function readImage(archive: Archive, top: Digest): Promise<ArchivedImage> {
  const documents: [Digest, Buffer][] = []
  const { digest, manifest } = await imageManifest(archive, top, documents)
  const config = await document(archive, manifest.config.digest)
  documents.push([manifest.config.digest, config])
  return { names: [], top, digest, manifest, documents, parsed: parseConfig(config, manifest.layers.length, 'an image of the archive'), fileOf }
}

async function imageManifest(archive: Archive, top: Digest, documents: [Digest, Buffer][]): Promise<{ digest: Digest, manifest: ImageManifest }> {
  let digest = top
  for (let depth = 0; depth < 3; depth += 1) {
    const bytes = await document(archive, digest)
    documents.push([digest, bytes])
    const manifest = parseManifest(bytes, 'an image of the archive')
    if (manifest.kind === 'image') return { digest, manifest }
    digest = choosePlatform(manifest, hostPlatform(), 'an image of the archive').digest
  }
  throw invalid('its indexes are nested too deeply')
}

async function document(archive: Archive, digest: Digest): Promise<Buffer> {
  const bytes = await archive.read(fileOf(digest))
  if (digestOf(bytes) === digest) return bytes
  throw new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `A document of the archive has the digest ${digestOf(bytes)} instead of ${digest}`, {
    hint: 'The archive is damaged or was altered. Nothing of it was kept.',
  })
}

function fileOf(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`
}
