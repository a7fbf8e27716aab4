import type { PullProgress } from '../images/progress.js'
import type { BuildEvent, BuildStep } from './types.js'

/** Tells what a build does. */
export class Progress {
  readonly #tell: (event: BuildEvent) => void
  #last = 0

  constructor(tell: (event: BuildEvent) => void = () => undefined) {
    this.#tell = tell
  }

  /** Runs a step; `work` answers whether it was cached. */
  async step<T>(label: string, text: string, work: (step: BuildStep) => Promise<{ readonly value: T; readonly cached: boolean }>): Promise<T> {
    this.#last += 1
    const step = { id: this.#last, label, text }
    const began = performance.now()
    const tell = (state: 'started' | 'cached' | 'done' | 'failed'): void => this.#tell({ kind: 'step', step, state, ms: performance.now() - began })
    tell('started')
    try {
      const { value, cached } = await work(step)
      tell(cached ? 'cached' : 'done')
      return value
    } catch (error) {
      tell('failed')
      throw error
    }
  }

  output(step: BuildStep, stream: 'stdout' | 'stderr', text: string): void {
    this.#tell({ kind: 'output', step, stream, text })
  }

  pull(step: BuildStep, progress: PullProgress): void {
    this.#tell({ kind: 'pull', step, progress })
  }

  warn(text: string): void {
    this.#tell({ kind: 'warning', text })
  }
}
