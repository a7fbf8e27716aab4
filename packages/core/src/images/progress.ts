import type { Digest } from '../digest.js'
import type { Reference } from '../reference.js'

/** How far an image is, told at each change of a layer's state and at most every 50 ms between them. */
export interface PullProgress {
  readonly reference: Reference
  /** Compressed bytes to fetch in all, and fetched so far; layers that were there count nothing. */
  readonly total: number
  readonly done: number
  /** Bytes a second, lately; 0 in the beginning. */
  readonly rate: number
  /** Bottom first. */
  readonly layers: readonly LayerProgress[]
}

export interface LayerProgress {
  /** Of the compressed layer. */
  readonly digest: Digest
  readonly size: number
  readonly done: number
  /** `there` before; `waiting` for a turn, or for another process that fetches it; `unpacking` what has come whole. */
  readonly state: 'there' | 'waiting' | 'downloading' | 'unpacking' | 'done'
}

const PAUSE = 50
/** The rate is that of so many milliseconds. */
const LATELY = 1000

/** Counts what layers get. `now` is in milliseconds. */
export class ProgressMeter {
  readonly #layers: LayerProgress[]
  #told = Number.NEGATIVE_INFINITY
  #marks: { readonly at: number, readonly done: number }[] = []

  constructor(
    readonly reference: Reference, layers: readonly Pick<LayerProgress, 'digest' | 'size' | 'state'>[],
    readonly tell: (progress: PullProgress) => void, readonly now: () => number = () => performance.now(),
  ) {
    this.#layers = layers.map(({ digest, size, state }) => ({ digest, size, done: 0, state }))
    this.#tell()
  }

  /** `count` is less than 0 when bytes come again. */
  bytes(index: number, count: number): void {
    const layer = this.#layers[index]
    if (layer === undefined) return
    const done = Math.min(layer.done + count, layer.size)
    this.#put(index, { ...layer, done, state: done === layer.size ? 'unpacking' : 'downloading' })
  }

  finished(index: number): void {
    const layer = this.#layers[index]
    if (layer !== undefined && layer.state !== 'there') this.#put(index, { ...layer, done: layer.size, state: 'done' })
  }

  #put(index: number, layer: LayerProgress): void {
    const turned = layer.state !== this.#layers[index]?.state
    this.#layers[index] = layer
    if (turned || this.now() - this.#told >= PAUSE) this.#tell()
  }

  #tell(): void {
    const at = this.#told = this.now()
    const counted = this.#layers.filter(({ state }) => state !== 'there')
    const done = counted.reduce((sum, layer) => sum + layer.done, 0)
    this.#marks = [...this.#marks.filter((mark) => at - mark.at <= LATELY), { at, done }]
    const [first = { at, done }] = this.#marks
    const rate = at === first.at ? 0 : Math.max(done - first.done, 0) / (at - first.at) * 1000
    this.tell({ reference: this.reference, total: counted.reduce((sum, { size }) => sum + size, 0), done, rate, layers: [...this.#layers] })
  }
}
