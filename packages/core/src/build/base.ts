import { resolve } from 'node:path'

import { MayflyError } from '../errors.js'
import { pullImage, readBlob } from '../images/index.js'
import { parsePlatform } from '../platform.js'
import { parseReference } from '../reference.js'
import { loadManifest } from '../images/image.js'
import type { Build } from './builder.js'
import { layerPlace } from './keep.js'
import { hashEntries, packLayer } from './pack.js'
import { planCopy } from './copy.js'
import { readIgnore } from './ignore.js'
import { nextKey, scratch, type BuildLayer, type BuildState, type HistoryEntry, type RawConfig } from './state.js'
import { directoryTree } from './tree.js'
import { createHash } from 'node:crypto'

interface RawImage {
  readonly config?: RawConfig
  readonly history?: readonly HistoryEntry[]
  readonly rootfs?: { readonly diff_ids?: readonly string[] }
  readonly architecture?: string
  readonly os?: string
  readonly variant?: string
}

/** The state that FROM an image begins with. Pulled when need be. */
export async function imageState(build: Build, name: string, platform: string | undefined): Promise<BuildState> {
  const context = build.options.contexts?.[name]
  if (context !== undefined && !context.startsWith('docker-image://')) return await directoryState(build, resolve(context))
  const reference = parseReference(context?.slice('docker-image://'.length) ?? name)
  return await build.progress.step('', `FROM ${reference.familiar}`, async (step) => {
    const wanted = platform === undefined ? build.platform : parsePlatform(platform)
    const image = await pullImage(build.store, reference, {
      policy: build.options.pull === true ? 'always' : 'missing', platform: wanted, signal: build.signal,
      onProgress: (progress) => { build.progress.pull(step, progress) },
    })
    await build.lease.hold(image.digest)
    const stored = await loadManifest(build.store, reference, image.digest)
    const bytes = await readBlob(build.store, image.id)
    if (stored === undefined || bytes === undefined) throw new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `${reference} vanished from the store while it was being built on`)
    const raw = JSON.parse(bytes.toString('utf8')) as RawImage
    const layers = stored.manifest.layers.map((blob, nth): BuildLayer => {
      // A layer listed twice has one place in the stack, the topmost.
      const tree = image.stack[image.stack.length - 1 - nth] ?? image.stack[0]
      const diffId = stored.parsed.diffIds[nth]
      if (tree === undefined || diffId === undefined) throw new MayflyError('ERR_MAYFLY_INTERNAL', `${reference} has fewer layers than its manifest`)
      return { kind: 'stored', tree, diffId, blob }
    })
    const { architecture, os, variant } = { architecture: raw.architecture ?? wanted.architecture, os: raw.os ?? wanted.os, variant: raw.variant }
    const value: BuildState = {
      config: raw.config ?? {}, history: raw.history ?? [], layers, args: {}, ownCmd: false, base: image,
      platform: { os, architecture, ...(variant === undefined ? {} : { variant }) }, key: image.id,
    }
    return { value, cached: false }
  })
}

/** A directory of the host as if it were an image with nothing else. */
async function directoryState(build: Build, root: string): Promise<BuildState> {
  const entries = await planCopy(directoryTree(root, readIgnore('')), {
    sources: [''], destination: '/', intoDirectory: true, exclude: [], parents: false, owner: undefined, keepOwner: false, chmod: undefined,
  })
  const hash = createHash('sha256')
  const fresh = await packLayer(await hashEntries(hash, entries, build.files), { directory: layerPlace(build.place()), lowers: [], latest: build.epoch })
  const key = nextKey('context', hash.digest('hex'))
  return { ...scratch(build.platform), key, layers: [{ kind: 'fresh', tree: fresh.tree, fresh, cacheKey: key, createdAt: 0 }] }
}
