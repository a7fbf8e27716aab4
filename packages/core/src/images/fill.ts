import { setMaxListeners } from 'node:events'
import { isMayflyError } from '../errors.js'
import type { Reference } from '../reference.js'
import { obtainLayer, type BlobSource, type WantedLayer } from './layer.js'
import { ProgressMeter, type PullProgress } from './progress.js'
import { findLayer } from './record.js'
import { hasBlob, type Store } from './store.js'

/** Layers under way at once: each takes three processes. Bottom first, because a layer waits for those below it. */
const AT_ONCE = 16

/** Has every layer (bottom first) unpacked in the store, and with `fetch` its bytes, too; those that are missing at the same time. */
export async function fillLayers(
  store: Store, reference: Reference, wanted: readonly WantedLayer[],
  { fetch, signal, tell }: { fetch: BlobSource | undefined, signal: AbortSignal, tell: (progress: PullProgress) => void },
): Promise<void> {
  const found = await Promise.all(wanted.map(async (layer) => fetch === undefined || await hasBlob(store, layer.blob) ? await findLayer(store, layer) : undefined))
  const meter = new ProgressMeter(reference, wanted.map(({ blob }, index) => ({ ...blob, state: found[index] === undefined ? 'waiting' : 'there' })), tell)
  if (!found.includes(undefined)) return
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  // Every layer and every blob listens to it: an image of many layers is no leak.
  setMaxListeners(0, either)
  const turns = turnsOf(AT_ONCE)
  const placed: Promise<string>[] = []
  for (const [index, layer] of wanted.entries()) {
    const below = placed.slice()
    const lowers = async (): Promise<string[]> => (await Promise.all(below)).reverse()
    const work = async (): Promise<string> => {
      const onBytes = (count: number): void => { meter.bytes(index, count) }
      const directory = found[index]?.directory ?? await turns(() => obtainLayer(store, reference, layer, { fetch, lowers, onBytes, signal: either }))
      meter.finished(index)
      return directory
    }
    const promise = work()
    promise.catch((error: unknown) => { stop.abort(error) })
    placed.push(promise)
  }
  const outcomes = await Promise.allSettled(placed)
  const failures = outcomes.flatMap((outcome) => outcome.status === 'rejected' ? [outcome.reason as unknown] : [])
  if (failures.length > 0) throw failures.find((error) => !isAbort(error)) ?? failures[0]
}

/** Lets so many work at a time, in the order they came. */
export function turnsOf(count: number): <T>(work: () => Promise<T>) => Promise<T> {
  let free = count
  const waiting: (() => void)[] = []
  return async (work) => {
    if (free > 0) free -= 1
    else await new Promise<void>((resolve) => { waiting.push(resolve) })
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free += 1
      else next()
    }
  }
}

function isAbort(error: unknown): boolean {
  return isMayflyError(error) && error.code === 'ERR_MAYFLY_ABORTED'
}
