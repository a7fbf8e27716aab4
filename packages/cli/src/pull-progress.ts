import type { PullProgress } from '@mayfly/core/engine'

import type { Bar, Progress } from './progress.js'
import { humanSize } from './size.js'

type State = PullProgress['layers'][number]['state']

const PULL: Readonly<Record<State, string>> = { there: 'Already exists', waiting: 'Waiting', downloading: 'Downloading', unpacking: 'Extracting', done: 'Pull complete' }
const LOAD: Readonly<Record<State, string>> = { ...PULL, downloading: 'Loading layer', done: 'Loaded' }

/** Shows how far an image is, in Docker's words. */
export function showPull(progress: Progress, words: 'pull' | 'load' = 'pull'): (event: PullProgress) => void {
  return (event) => {
    const { done, total, rate } = event
    const seconds = rate > 0 ? Math.ceil((total - done) / rate) : 0
    const left = seconds > 0 ? `, ${String(seconds)} s left` : ''
    progress.show(pullBars(event, words), done < total ? `${humanSize(done)} of ${humanSize(total)}${rate > 0 ? `, ${humanSize(rate)}/s${left}` : ''}` : '')
  }
}

/** A bar for each layer, the lowest first. */
export function pullBars({ layers }: PullProgress, words: 'pull' | 'load' = 'pull'): Bar[] {
  return layers.map(({ digest, size, done, state }) => ({
    name: digest.slice(7, 19), word: (words === 'pull' ? PULL : LOAD)[state], done, total: size, finished: state === 'done' || state === 'there',
  }))
}
