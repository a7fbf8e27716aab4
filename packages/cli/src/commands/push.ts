import type { PushProgress } from '@mayfly/core/engine'

import { interruptible } from '../interrupt.js'
import { hasBars, openProgress, type Bar } from '../progress.js'

const WORDS: Readonly<Record<PushProgress['state'], string>> = { compressing: 'Compressing', compressed: 'Compressed', waiting: 'Waiting', sending: 'Pushing', there: 'Layer already exists', mounted: 'Mounted', uploaded: 'Pushed' }

interface Flags {
  readonly quiet?: boolean
  readonly allTags?: boolean
}

/** `mayfly push`: a line for each layer, on a terminal a bar, and the digest at the end, as Docker prints them. */
export async function push(text: string, { quiet, allTags }: Flags): Promise<void> {
  const { listImages, openStore, parseReference, pushImage } = await import('@mayfly/core/engine')
  const store = await openStore()
  const given = parseReference(text)
  const references = allTags !== true ? [given] : (await listImages(store)).map(({ reference }) => reference)
    .filter(({ registry, repository, tag }) => registry === given.registry && repository === given.repository && tag !== undefined)
  const say = (line: string): void => { if (quiet !== true) process.stdout.write(`${line}\n`) }
  say(`The push refers to repository [${given.registry}/${given.repository}]`)
  // What Docker prints is for standard output; bars are for who looks at both.
  const stream = process.stdout.isTTY && hasBars(process.stderr) ? process.stderr : process.stdout
  await interruptible(async (signal) => {
    for (const reference of references) {
      const progress = openProgress({ quiet, stream })
      try {
        const digest = await pushImage(store, reference, { signal, onProgress: shown((bars) => { progress.show(bars) }) })
        progress.end()
        say(`${reference.tag ?? 'latest'}: digest: ${digest}`)
        if (quiet === true) process.stdout.write(`${String(reference)}\n`)
      } finally {
        progress.end()
      }
    }
  })
}

/** Blobs as they come, all of them each time. */
function shown(show: (bars: readonly Bar[]) => void): (event: PushProgress) => void {
  const bars = new Map<string, Bar>()
  return ({ blob, size, state, done }) => {
    // From then on it has another digest.
    if (state === 'compressed') bars.delete(blob)
    else bars.set(blob, { name: blob.slice(7, 19), word: WORDS[state], ...state === 'compressing' ? {} : { done, total: size }, finished: !['compressing', 'waiting', 'sending'].includes(state) })
    show([...bars.values()])
  }
}
