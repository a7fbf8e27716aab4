import { digestFromHex, digestOf, type Digest } from '../../digest.js'
import { MayflyError } from '../../errors.js'
import { parseJson, type Descriptor } from '../../registry/index.js'
import { parseConfig } from '../config.js'
import type { ArchivedImage } from './documents.js'
import { invalid, type Archive } from './read.js'

const MOST_IMAGES = 200
const MOST_LAYERS = 1000
const CONFIG = 'application/vnd.oci.image.config.v1+json'
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const LAYER = 'application/vnd.oci.image.layer.v1.tar'

interface Listed {
  readonly config: string
  readonly names: readonly string[]
  readonly layers: readonly string[]
}

/** The images of an archive in Docker's form, given manifests, which that form lacks. */
export async function readDocker(archive: Archive): Promise<ArchivedImage[]> {
  const images: ArchivedImage[] = []
  for (const listed of await list(archive)) images.push(await readImage(archive, listed))
  return images
}

/** Names by the image's id. */
export async function dockerNames(archive: Archive): Promise<ReadonlyMap<Digest, readonly string[]>> {
  if (!await archive.has('manifest.json')) return new Map()
  const found = new Map<Digest, readonly string[]>()
  for (const { config, names } of await list(archive)) {
    const hex = hexIn(config)
    if (hex !== undefined) found.set(digestFromHex(hex), names)
  }
  return found
}

async function list(archive: Archive): Promise<Listed[]> {
  const entries = parseJson(await archive.read('manifest.json'), 'manifest.json')
  if (!Array.isArray(entries) || entries.length > MOST_IMAGES) throw invalid(`manifest.json is no list of at most ${MOST_IMAGES} images`)
  return entries.map((entry: unknown) => {
    const { Config, RepoTags, Layers } = (entry ?? {}) as Record<string, unknown>
    if (typeof Config !== 'string') throw invalid('an image in manifest.json has no Config')
    const layers = strings(Layers)
    if (layers.length > MOST_LAYERS) throw invalid(`an image has more than ${MOST_LAYERS} layers`)
    return { config: Config, names: strings(RepoTags), layers }
  })
}

async function readImage(archive: Archive, { config: file, names, layers }: Listed): Promise<ArchivedImage> {
  const config = await archive.read(file)
  const id = digestOf(config)
  checkName(file, id)
  const files = new Map<Digest, string>()
  const blobs: Descriptor[] = []
  for (const name of layers) {
    const { digest, size } = await archive.blob(name)
    if (name.startsWith('blobs/')) checkName(name, digest)
    files.set(digest, name)
    blobs.push({ mediaType: await isGzip(archive, name) ? `${LAYER}+gzip` : LAYER, digest, size })
  }
  const configDescriptor = { mediaType: CONFIG, digest: id, size: config.length }
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config: configDescriptor, layers: blobs }))
  const digest = digestOf(manifest)
  return {
    names, top: digest, digest,
    manifest: { kind: 'image', config: configDescriptor, layers: blobs },
    parsed: parseConfig(config, layers.length, 'an image of the archive'),
    documents: [[digest, manifest], [id, config]],
    fileOf: (blob) => files.get(blob) ?? '',
  }
}

function checkName(file: string, actual: Digest): void {
  const hex = hexIn(file)
  if (hex === undefined || `sha256:${hex}` === actual) return
  throw new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `${file} of the archive has the digest ${actual}`, {
    hint: 'The archive is damaged or was altered. Nothing of it was kept.',
  })
}

function hexIn(file: string): string | undefined {
  return /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(file)?.[1]
}

async function isGzip(archive: Archive, name: string): Promise<boolean> {
  for await (const chunk of archive.open(name)) return chunk[0] === 0x1f && chunk[1] === 0x8b
  return false
}

function strings(value: unknown): string[] {
  const all: unknown[] = Array.isArray(value) ? value : []
  return all.filter((one): one is string => typeof one === 'string')
}
