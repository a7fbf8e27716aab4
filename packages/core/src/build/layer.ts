import { asMade, findLayer, heldBlob } from '../images/index.js'
import { resolveInStack } from '../layers/index.js'
import type { Build } from './builder.js'
import type { LayerEntry } from './copy.js'
import type { Step } from './instruction.js'
import type { BuildStep } from './types.js'
import { layerPlace } from './keep.js'
import { packLayer, type FreshLayer } from './pack.js'
import { nextKey, settledStack, stackOf, type BuildLayer, type BuildState } from './state.js'

/** A state with one more layer: an earlier build's, or what `make` makes. Nothing is added when it would be empty. */
export async function withLayer(
  build: Build, { state, label, index }: Pick<Step, 'state' | 'label' | 'index'>, text: string, key: string, make: (step: BuildStep) => Promise<FreshLayer>,
): Promise<BuildState> {
  return await build.progress.step(label, text, async step => {
    const created = (time: number): string => new Date(build.epoch === undefined ? time : build.epoch * 1000).toISOString()
    const found = isAnew(build, index) ? undefined : await cached(build, state, key)
    if (found !== undefined) {
      return { cached: true, value: added(state, key, text, created(found.createdAt), found.layer) }
    }
    const making = build.made.get(key) ?? make(step)
    build.made.set(key, making)
    const fresh = await making
    build.measuring.add(fresh.measured)
    const layer: BuildLayer = { kind: 'fresh', tree: fresh.tree, fresh, cacheKey: key, createdAt: Date.now() }
    return { cached: false, value: added(state, key, text, created(layer.createdAt), layer) }
  })
}

function isAnew({ options: { noCache, noCacheFilter = [] }, stages }: Build, index: number): boolean {
  const name = stages[index]?.from.name
  return noCache === true || (name !== undefined && noCacheFilter.some(one => one.toLowerCase() === name.toLowerCase()))
}

function added(state: BuildState, key: string, text: string, created: string, layer: BuildLayer): BuildState {
  return { ...state, key, layers: [...state.layers, layer], history: [...state.history, { created, created_by: text }] }
}

async function cached(build: Build, state: BuildState, key: string): Promise<{ layer: BuildLayer; createdAt: number } | undefined> {
  const record = await build.cache.find(key)
  if (record === undefined) return undefined
  const { diffId, digest, size, chainId, createdAt } = record
  await build.lease.hold(digest, diffId, chainId)
  if (await build.cache.find(key) === undefined) return undefined
  const tree = await findLayer(build.store, { diffId, chainId })
  // A layer that was collected, or not written out before a restart, is made anew.
  if (tree === undefined) return undefined
  const { directory, opaque, key: place } = tree
  const blob = await heldBlob(build.store, build.lease, place) ?? (digest === diffId ? asMade(diffId, size) : undefined)
  // As earlier versions made them: of a layer whose bytes were collected it is not known how many there would be.
  if (blob === undefined) return undefined
  return { createdAt, layer: { kind: 'stored', tree: { directory, opaque }, diffId, blob } }
}

/** A state in which a directory is there, made where it is missing. */
export async function directoryLayer(build: Build, step: Step, path: string): Promise<BuildState> {
  const found = await resolveInStack(await settledStack(step.state), path)
  if (found === undefined || found.stat !== undefined || found.path === '') return step.state
  const entry: LayerEntry = {
    path: found.path, type: 'directory', mode: 0o755, uid: 0, gid: 0, mtime: build.epoch === undefined ? Date.now() : build.epoch * 1000,
    size: 0, target: undefined, content: undefined,
  }
  // The instruction stands in the history already, as one that made nothing.
  const { state } = step
  const before = { ...state, history: state.history.slice(0, -1) }
  const text = state.history.at(-1)?.created_by ?? `WORKDIR ${path}`
  return await withLayer(build, { ...step, state: before }, text, nextKey(state.key, 'directory', path), async () => await pack(build, state, [entry]))
}

/** Makes entries a layer over a state. */
export async function pack(build: Build, state: BuildState, entries: readonly LayerEntry[]): Promise<FreshLayer> {
  const lowers = stackOf(state).map(({ directory }) => directory)
  return await packLayer(entries, { directory: layerPlace(build.place()), lowers, latest: build.epoch })
}

