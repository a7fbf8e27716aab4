import type { Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import { formatPlatform, hostPlatform, type Platform } from '../platform.js'
import type { Reference } from '../reference.js'
import {
  choosePlatform, fetchBlob, fetchDigest, fetchManifest, fetchSmallBlob, parseManifest, throwIfAborted, type FetchedManifest, type ImageManifest,
} from '../registry/index.js'
import { parseConfig } from './config.js'
import { fillLayers } from './fill.js'
import { Flights } from './flight.js'
import { loadManifest, wantedLayers, type Image, type StoredManifest } from './image.js'
import { noteImage } from './journal.js'
import { notThere, type BlobSource } from './layer.js'
import { openLease } from './lease.js'
import { findLocally } from './local.js'
import { repositoryOf, withTag } from './names.js'
import { ProgressMeter, type PullProgress } from './progress.js'
import { findLayer } from './record.js'
import { readRef, writeRef } from './refs.js'
import { blobPath, readBlob, writeAtomically, type Store } from './store.js'
import { takeTurn, type PulledLayer } from './turn.js'

export interface PullOptions {
  /**
   * `missing` (default) asks the registry only for what the store lacks, `always` asks what the name means now, `never`
   * takes what the store has, unpacking it anew when need be.
   */
  readonly policy?: 'missing' | 'always' | 'never'
  /** Default: this machine's. */
  readonly platform?: Platform | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: PullProgress) => void) | undefined
}

/**
 * The image of a reference, pulled when need be. Throws ERR_MAYFLY_IMAGE_NOT_FOUND, …_REGISTRY_UNAVAILABLE,
 * …_REGISTRY_UNAUTHORIZED, …_PLATFORM_MISMATCH, …_MANIFEST_INVALID, …_DIGEST_MISMATCH, …_LAYER_INVALID,
 * …_STORE_FAILED or …_ABORTED. Nothing is visible in the store before its digests match.
 */
export async function pullImage(store: Store, reference: Reference, options: PullOptions = {}): Promise<Image> {
  throwIfAborted(options.signal)
  const policy = options.policy ?? 'missing'
  if (policy !== 'always') {
    const local = await findLocally(store, reference, options.platform ?? hostPlatform())
    if (local !== undefined) return local
  }
  const platform = options.platform ?? hostPlatform()
  const key = `${store.home} ${formatPlatform(platform)} ${policy} ${reference}`
  return flights.join(key, `The pull of ${reference}`, (signal, tell) => pull(store, reference, platform, policy, signal, tell), options)
}

type Policy = NonNullable<PullOptions['policy']>

const flights = new Flights<Image, PullProgress>()

async function pull(
  store: Store, reference: Reference, platform: Platform, policy: Policy, signal: AbortSignal, tell: (progress: PullProgress) => void,
): Promise<Image> {
  const same = policy === 'always' ? await unchanged(store, reference, platform, signal) : undefined
  // One question, and no lock for what is there: the native program that holds it costs more than the registry's answer.
  const there = same !== undefined && await isUnpacked(store, same) ? await findLocally(store, reference, platform) : undefined
  if (same !== undefined && there?.digest === same.digest) {
    new ProgressMeter(reference, wantedLayers(same.manifest.layers, same.parsed).map(({ blob }) => ({ ...blob, state: 'there' })), tell)
    notePull(store, reference)
    return there
  }
  const began = Date.now()
  const others = (layers: readonly PulledLayer[], state: 'there' | 'waiting'): void => void new ProgressMeter(reference, layers.map(({ digest, size }) => ({ digest, size, state })), tell)
  await using turn = policy === 'never' ? undefined : await takeTurn(store, turnKey(reference, platform), (layers) => { others(layers, 'waiting') }, signal)
  if (turn === undefined && policy !== 'never') {
    // What another process was told while this one waited, this one would be told, too.
    const asked = policy === 'missing' || ((await readRef(store, reference))?.pulledAt ?? 0) >= began
    const pulled = asked ? await findLocally(store, reference, platform) : undefined
    const known = pulled === undefined ? undefined : await loadManifest(store, reference, pulled.digest)
    if (pulled !== undefined && known !== undefined) {
      others(known.manifest.layers, 'there')
      return pulled
    }
  }
  await using lease = await openLease(store, signal)
  const { top, stored, documents = [] } = same === undefined ? await whatToUnpack(store, reference, platform, policy, signal) : { stored: same }
  const wanted = wantedLayers(stored.manifest.layers, stored.parsed)
  await turn?.show(stored.manifest.layers)
  await lease.hold(stored.digest, stored.manifest.config.digest, ...documents.map(({ digest }) => digest), ...wanted.flatMap(({ blob, diffId, chainId }) => [blob.digest, diffId, chainId]))
  const fetch: BlobSource | undefined = policy === 'never' ? undefined : (blob, stop) => fetchBlob(reference, blob, stop)
  await fillLayers(store, reference, wanted, { fetch, signal, tell })
  if (top !== undefined) {
    // What names the layers comes last: of a pull that failed nothing is left that nobody asked for.
    for (const { digest, bytes } of documents) await writeAtomically(blobPath(store, digest), bytes)
    const known = await readRef(store, reference)
    const manifests = known?.digest === top.digest ? known.manifests : {}
    await writeRef(store, reference, {
      digest: top.digest,
      manifests: { ...manifests, [formatPlatform(platform)]: stored.digest },
      origin: top.origin,
      pulledAt: Date.now(),
    })
  }
  const image = await findLocally(store, reference, platform)
  if (image === undefined) throw new MayflyError('ERR_MAYFLY_INTERNAL', `${reference} was pulled but is not in the store`)
  if (policy !== 'never') notePull(store, reference)
  return image
}

/** Who asks other mirrors may be told something else. */
function turnKey(reference: Reference, platform: Platform): string {
  return `${formatPlatform(platform)} ${reference} ${process.env['MAYFLY_REGISTRY_MIRROR'] ?? ''}`
}

function notePull(store: Store, { familiar }: Reference): void {
  noteImage(store, 'pull', withTag(familiar), repositoryOf(familiar))
}

/** A manifest, an index or a configuration. */
interface Document {
  readonly digest: Digest
  readonly bytes: Buffer
}

interface Asked {
  readonly stored: StoredManifest
  /** What the registry said just now, and all that was fetched for it. */
  readonly top?: FetchedManifest
  readonly documents?: readonly Document[]
}

/** What the name means: as the store knows it, or as the registry says. */
async function whatToUnpack(store: Store, reference: Reference, platform: Platform, policy: Policy, signal: AbortSignal): Promise<Asked> {
  if (policy !== 'always') {
    const digest = (await readRef(store, reference))?.manifests[formatPlatform(platform)]
    const stored = digest === undefined ? undefined : await loadManifest(store, reference, digest)
    if (stored !== undefined) return { stored }
    if (policy === 'never') throw notThere(reference)
  }
  const top = await fetchManifest(reference, { signal })
  const { digest, manifest, documents } = await imageManifest(store, reference, top, platform, signal)
  const config = manifest.config.digest
  const bytes = await readBlob(store, config) ?? await fetchSmallBlob(reference, manifest.config, signal)
  return { stored: { digest, manifest, parsed: parseConfig(bytes, manifest.layers.length, reference.familiar) }, top, documents: [...documents, { digest: config, bytes }] }
}

async function isUnpacked(store: Store, { manifest, parsed }: StoredManifest): Promise<boolean> {
  const found = await Promise.all(wantedLayers(manifest.layers, parsed).map((layer) => findLayer(store, layer)))
  return !found.includes(undefined)
}

/** What the store has, when the registry says that the name still means it. Why it does not answer, the next question tells. */
async function unchanged(store: Store, reference: Reference, platform: Platform, signal: AbortSignal): Promise<StoredManifest | undefined> {
  const known = await readRef(store, reference)
  const digest = known?.manifests[formatPlatform(platform)]
  const stored = digest === undefined ? undefined : await loadManifest(store, reference, digest)
  if (stored === undefined) return undefined
  const now = await fetchDigest(reference, signal).catch(() => undefined)
  throwIfAborted(signal)
  return now !== undefined && now === known?.digest ? stored : undefined
}

async function imageManifest(
  store: Store, reference: Reference, top: Document, platform: Platform, signal: AbortSignal,
): Promise<{ digest: Digest, manifest: ImageManifest, documents: readonly Document[] }> {
  const documents: Document[] = []
  let { bytes, digest } = top
  for (let depth = 0; depth < 3; depth += 1) {
    const manifest = parseManifest(bytes, reference.familiar)
    documents.push({ digest, bytes })
    if (manifest.kind === 'image') return { digest, manifest, documents }
    digest = choosePlatform(manifest, platform, reference.familiar).digest
    bytes = await readBlob(store, digest) ?? (await fetchManifest(reference, { digest, signal })).bytes
  }
  throw new MayflyError('ERR_MAYFLY_MANIFEST_INVALID', `The manifest of ${reference.familiar} cannot be used: its indexes are nested too deeply`)
}
