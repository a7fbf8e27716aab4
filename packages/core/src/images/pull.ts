import { access } from 'node:fs/promises'

import type { Digest } from '../digest.js'
import { isMayflyError, MayflyError } from '../errors.js'
import { formatPlatform, hostPlatform, type Platform } from '../platform.js'
import type { Reference } from '../reference.js'
import {
  choosePlatform, fetchManifest, fetchSmallBlob, parseManifest, throwIfAborted, type ImageManifest,
} from '../registry/index.js'
import { parseConfig } from './config.js'
import { loadImage, wantedLayers, type Image } from './image.js'
import { findLayer, obtainLayer, type WantedLayer } from './layer.js'
import { readRef, refStamp, writeRef } from './refs.js'
import { blobPath, readBlob, writeAtomically, type Store } from './store.js'

export interface PullProgress {
  readonly reference: Reference
  /** Compressed bytes to fetch in all, and fetched so far. */
  readonly total: number
  readonly done: number
}

export interface PullOptions {
  /** `missing` (default) asks the registry only for what the store lacks, `always` asks what the name means now. */
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
    const local = await resolveLocally(store, reference, options.platform ?? hostPlatform())
    if (local !== undefined) return local
    if (policy === 'never') throw notThere(reference)
  }
  return joinPull(store, reference, options)
}

const resolved = new Map<string, { stamp: string, image: Image }>()

async function resolveLocally(store: Store, reference: Reference, platform: Platform): Promise<Image | undefined> {
  const key = `${store.home} ${formatPlatform(platform)} ${reference}`
  const stamp = await refStamp(store, reference)
  if (stamp === undefined) return undefined
  const known = resolved.get(key)
  // The top layer stands for all: they are only ever deleted together.
  if (known?.stamp === stamp && await exists(known.image.layers[0])) return known.image
  const digest = (await readRef(store, reference))?.manifests[formatPlatform(platform)]
  const image = digest === undefined ? undefined : await loadImage(store, reference, digest)
  if (image !== undefined) resolved.set(key, { stamp, image })
  return image
}

async function exists(path: string | undefined): Promise<boolean> {
  return path === undefined || access(path).then(() => true, () => false)
}

interface Flight {
  readonly image: Promise<Image>
  readonly stop: AbortController
  readonly listeners: Set<(progress: PullProgress) => void>
  waiting: number
}

const flights = new Map<string, Flight>()

/** Callers of the same pull share it; it is stopped when all of them have given up. */
async function joinPull(store: Store, reference: Reference, { platform = hostPlatform(), signal, onProgress }: PullOptions): Promise<Image> {
  const key = `${store.home} ${formatPlatform(platform)} ${reference}`
  const flight = flights.get(key) ?? takeOff(key, store, reference, platform)
  if (onProgress !== undefined) flight.listeners.add(onProgress)
  flight.waiting += 1
  let abort: (() => void) | undefined
  const aborted = new Promise<never>((_, reject) => {
    abort = () => { reject(new MayflyError('ERR_MAYFLY_ABORTED', `The pull of ${reference} was aborted`, { cause: signal?.reason })) }
    signal?.addEventListener('abort', abort, { once: true })
  })
  try {
    return await Promise.race([flight.image, aborted])
  } finally {
    if (abort !== undefined) signal?.removeEventListener('abort', abort)
    if (onProgress !== undefined) flight.listeners.delete(onProgress)
    flight.waiting -= 1
    if (flight.waiting === 0) {
      if (flights.get(key) === flight) flights.delete(key)
      flight.stop.abort()
      // Aborted: what was begun is taken away before the caller goes on.
      await flight.image.catch(() => undefined)
    }
  }
}

function takeOff(key: string, store: Store, reference: Reference, platform: Platform): Flight {
  const stop = new AbortController()
  const listeners = new Set<(progress: PullProgress) => void>()
  const tell = (progress: PullProgress): void => { for (const listener of listeners) listener(progress) }
  const flight: Flight = { image: pull(store, reference, platform, stop.signal, tell), stop, listeners, waiting: 0 }
  flight.image.catch(() => undefined)
  flights.set(key, flight)
  return flight
}

async function pull(
  store: Store, reference: Reference, platform: Platform, signal: AbortSignal, tell: (progress: PullProgress) => void,
): Promise<Image> {
  const top = await fetchManifest(reference, { signal })
  const { digest, manifest } = await imageManifest(store, reference, top, platform, signal)
  const configBytes = await readBlob(store, manifest.config.digest) ?? await fetchSmallBlob(reference, manifest.config, signal)
  const parsed = parseConfig(configBytes, manifest.layers.length, reference.familiar)
  await fillLayers(store, reference, wantedLayers(manifest.layers, parsed), signal, tell)
  await writeAtomically(blobPath(store, manifest.config.digest), configBytes)
  const known = await readRef(store, reference)
  const manifests = known?.digest === top.digest ? known.manifests : {}
  await writeRef(store, reference, {
    digest: top.digest,
    manifests: { ...manifests, [formatPlatform(platform)]: digest },
    origin: top.origin,
    pulledAt: Date.now(),
  })
  const image = await resolveLocally(store, reference, platform)
  if (image === undefined) throw new MayflyError('ERR_MAYFLY_INTERNAL', `${reference} was pulled but is not in the store`)
  return image
}

async function imageManifest(
  store: Store, reference: Reference, top: { bytes: Buffer, digest: Digest }, platform: Platform, signal: AbortSignal,
): Promise<{ digest: Digest, manifest: ImageManifest }> {
  let { bytes, digest } = top
  for (let depth = 0; depth < 3; depth += 1) {
    const manifest = parseManifest(bytes, reference.familiar)
    await writeAtomically(blobPath(store, digest), bytes)
    if (manifest.kind === 'image') return { digest, manifest }
    digest = choosePlatform(manifest, platform, reference.familiar).digest
    bytes = await readBlob(store, digest) ?? (await fetchManifest(reference, { digest, signal })).bytes
  }
  throw new MayflyError('ERR_MAYFLY_MANIFEST_INVALID', `The manifest of ${reference.familiar} cannot be used: its indexes are nested too deeply`)
}

async function fillLayers(
  store: Store, reference: Reference, wanted: readonly WantedLayer[], signal: AbortSignal, tell: (progress: PullProgress) => void,
): Promise<void> {
  const found = await Promise.all(wanted.map((layer) => findLayer(store, layer)))
  const total = wanted.reduce((sum, { blob }, index) => found[index] === undefined ? sum + blob.size : sum, 0)
  if (total === 0 && !found.includes(undefined)) return
  let done = 0
  const onBytes = (count: number): void => {
    done += count
    tell({ reference, total, done })
  }
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const placed: Promise<string>[] = []
  for (const [index, layer] of wanted.entries()) {
    const below = placed.slice()
    const lowers = async (): Promise<string[]> => (await Promise.all(below)).reverse()
    // The same layer may be listed twice.
    const twin = below[wanted.findIndex(({ diffId }) => diffId === layer.diffId)]
    const work = async (): Promise<string> => {
      await twin
      return found[index] ?? obtainLayer(store, reference, layer, lowers, onBytes, either)
    }
    const promise = work()
    promise.catch((error: unknown) => { stop.abort(error) })
    placed.push(promise)
  }
  const outcomes = await Promise.allSettled(placed)
  const failures = outcomes.flatMap((outcome) => outcome.status === 'rejected' ? [outcome.reason as unknown] : [])
  if (failures.length > 0) throw failures.find((error) => !isAbort(error)) ?? failures[0]
}

function isAbort(error: unknown): boolean {
  return isMayflyError(error) && error.code === 'ERR_MAYFLY_ABORTED'
}

function notThere(reference: Reference): MayflyError {
  return new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `The image ${reference} is not in the store, and pulling is switched off`, {
    hint: `Pull it first: mayfly pull ${reference.familiar}`,
  })
}
