import type { Digest } from '../digest.js'
import { layerSizes, rawConfig, type StoredImage } from './catalog.js'
import type { Store } from './store.js'

/** One step in the making of an image. */
export interface HistoryStep {
  /** The image's id for its last step; earlier steps have none. */
  readonly id: Digest | undefined
  readonly created: Date | undefined
  readonly createdBy: string
  readonly comment: string
  /** Bytes of the files of its layer; 0 for a step without one. */
  readonly size: number
}

/** How an image was made, as it says itself; the last step first. */
export async function imageHistory(store: Store, image: StoredImage): Promise<HistoryStep[]> {
  const { history } = await rawConfig(store, image)
  const { diffIds } = image.parsed
  const sizes = await layerSizes(store, image)
  const said = Array.isArray(history) ? history.map(record) : []
  // An image that says nothing has a step for each layer.
  const entries = said.length > 0 ? said : diffIds.map(() => record({}))
  let layer = 0
  const steps = entries.map((entry) => ({
    id: undefined,
    created: dateOf(entry['created']),
    createdBy: text(entry['created_by']),
    comment: text(entry['comment']),
    size: entry['empty_layer'] === true ? 0 : sizes[layer++] ?? 0,
  }))
  return steps.reverse().map((step, index) => index === 0 ? { ...step, id: image.id } : step)
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? value as Record<string, unknown> : {}
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function dateOf(value: unknown): Date | undefined {
  const date = new Date(text(value))
  return Number.isNaN(date.getTime()) ? undefined : date
}
