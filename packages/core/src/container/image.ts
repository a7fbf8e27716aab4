import { imageFile, type Image } from '../images/image.js'
import { findLocally } from '../images/local.js'
import { openStore, type Store } from '../images/store.js'
import { hostPlatform, parsePlatform } from '../platform.js'
import { parseReference } from '../reference.js'
import { addGroups, resolveUser, type Identity } from '../sandbox/index.js'
import type { RunOptions } from './types.js'

const stores = new Map<string, Promise<Store>>()
const known = new Map<string, Image>()
const identities = new WeakMap<Image, ReadonlyMap<string, Identity>>()
const accounts = new WeakMap<Image, Promise<readonly [string, string]>>()

/** The image of a reference, pulled when missing; found once, it is not looked for again. */
export async function obtainImage(reference: string, options: Pick<RunOptions, 'pull' | 'platform' | 'signal' | 'onPull'>): Promise<Image> {
  const cached = knownImage(reference, options)
  if (cached !== undefined) return cached
  // Pulls at the same time share their work further down, and each caller may give up for itself.
  const image = await find(reference, options)
  known.set(keyOf(reference, options), image)
  return image
}

/** The image of a reference that was found before. */
export function knownImage(reference: string, options: Pick<RunOptions, 'pull' | 'platform'>): Image | undefined {
  return options.pull === 'always' ? undefined : known.get(keyOf(reference, options))
}

function keyOf(reference: string, { platform = '' }: Pick<RunOptions, 'platform'>): string {
  return `${home()} ${reference} ${platform}`
}

/** Whether an image is in the store, whole; asks nobody. */
export async function hasImage(name: string, platform?: string): Promise<boolean> {
  return await findLocally(await openedStore(), parseReference(name), platform === undefined ? hostPlatform() : parsePlatform(platform)) !== undefined
}

/** Has an image looked for anew. */
export function forgetImage(image: Image): void {
  for (const [key, one] of known) if (one === image) known.delete(key)
}

/** What is to know of an image before it runs. */
export interface FoundImage {
  /** `registry/repository[:tag][@digest]`. */
  readonly reference: string
  readonly digest: string
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  /** TCP ports the image EXPOSEs. */
  readonly ports: readonly number[]
  /** The same of UDP. */
  readonly udpPorts: readonly number[]
  /** Where it was pulled from: the origin of a registry or mirror; empty when it was not pulled by name. */
  readonly origin: string
  /** Milliseconds since 1970. */
  readonly pulledAt: number
}

/** Makes an image ready to run, pulling it as `run` would. */
export async function findImage(reference: string, options: Pick<RunOptions, 'pull' | 'platform' | 'signal' | 'onPull'>): Promise<FoundImage> {
  const image = await obtainImage(reference, options)
  const [{ pulledFrom }, { exposedPorts }] = await Promise.all([import('../images/index.js'), import('./own-ports.js')])
  const { origin, pulledAt } = await pulledFrom(await openedStore(), image.reference)
  return { reference: String(image.reference), digest: image.digest, entrypoint: image.config.Entrypoint, command: image.config.Cmd, ports: exposedPorts(image), udpPorts: exposedPorts(image, 'udp'), origin, pulledAt }
}

/** The image's /etc/passwd and /etc/group; empty text for a missing one. */
export function accountsOf(image: Image): Promise<readonly [string, string]> {
  const cached = accounts.get(image)
  if (cached !== undefined) return cached
  const read = Promise.all([imageFile(image, '/etc/passwd'), imageFile(image, '/etc/group')])
    .then(([passwd, group]) => [passwd?.toString('utf8') ?? '', group?.toString('utf8') ?? ''] as const)
  accounts.set(image, read)
  read.catch(() => accounts.delete(image))
  return read
}

/** Who a container's process is, unless options say otherwise the image's user. Throws ERR_MAYFLY_OPTION_INVALID for one that the image does not know. */
export async function identityOf(image: Image, { user = image.config.User, groupAdd = [] }: Pick<RunOptions, 'user' | 'groupAdd'>): Promise<Identity> {
  const found = groupAdd.length === 0 ? identities.get(image)?.get(user) : undefined
  if (found !== undefined) return found
  const [passwd, group] = await accountsOf(image)
  const identity = resolveUser(user, passwd, group)
  if (groupAdd.length > 0) return addGroups(identity, groupAdd, group)
  identities.set(image, new Map(identities.get(image)).set(user, identity))
  return identity
}

async function find(name: string, { pull, platform, signal, onPull }: Pick<RunOptions, 'pull' | 'platform' | 'signal' | 'onPull'>): Promise<Image> {
  const store = await openedStore()
  const reference = parseReference(name)
  const wanted = platform === undefined ? hostPlatform() : parsePlatform(platform)
  // What talks to registries is loaded when there is something to ask them.
  const local = pull === 'always' || signal?.aborted === true ? undefined : await findLocally(store, reference, wanted)
  if (local !== undefined) return local
  const { pullImage } = await import('../images/index.js')
  return pullImage(store, reference, { policy: pull ?? 'missing', platform: wanted, signal, onProgress: onPull })
}

function openedStore(): Promise<Store> {
  const store = stores.get(home()) ?? openStore()
  stores.set(home(), store)
  store.catch(() => stores.delete(home()))
  return store
}

/** What says where the store is: a process may go from one to another, as test files in one worker do. */
function home(): string {
  return ['MAYFLY_HOME', 'XDG_CACHE_HOME', 'HOME'].map((name) => process.env[name] ?? '').join('\0')
}
