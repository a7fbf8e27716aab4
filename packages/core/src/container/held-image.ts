import { dirname } from 'node:path'

import { MayflyError } from '../errors.js'
import type { Image } from '../images/index.js'
import { checkForm } from './form.js'
import { forgetImage, knownImage, obtainImage } from './image.js'
import { currentRun, type Run } from './supervision.js'
import type { RunOptions } from './types.js'

/** Throws ERR_MAYFLY_OPTION_INVALID, and ERR_MAYFLY_ABORTED where the start was given up before it began. */
export async function checkStart(image: string, options: RunOptions): Promise<void> {
  await checkForm(options)
  if (options.signal?.aborted === true) {
    throw new MayflyError('ERR_MAYFLY_ABORTED', `The start of ${image} was aborted`, { cause: options.signal.reason })
  }
}

/** Does it with the image, pulled if need be, while the run holds that. */
export async function withImage<T>(image: string, options: RunOptions, work: (run: Run, image: Image, options: RunOptions) => Promise<T>): Promise<T> {
  await checkStart(image, options)
  const known = knownImage(image, options)
  const [supervision, there] = known === undefined ? await prepare(image, options) : [await currentRun(), known] as const
  if (await keep(supervision, there)) return work(supervision, there, options)
  // Removed by another process since it was looked up.
  forgetImage(there)
  const fresh = await obtainImage(image, options)
  await holdImage(supervision, fresh)
  return work(supervision, fresh, options)
}

/** Nobody collects what a live run uses. Throws ERR_MAYFLY_IMAGE_NOT_FOUND for an image that was removed meanwhile. */
export async function holdImage(run: Run, image: Image): Promise<void> {
  if (await keep(run, image)) return
  throw new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `The files of ${image.reference.familiar} are no longer in the store`, {
    hint: 'Somebody removed them meanwhile: try again.',
  })
}

const kept = new WeakMap<Image, Run>()

/** Whether it is there, and stays. */
async function keep(run: Run, image: Image): Promise<boolean> {
  if (kept.get(image) === run) return true
  const { leaseForRun } = await import('../images/lease.js')
  const there = await leaseForRun(dirname(dirname(run.dir)), run.dir, image)
  if (there) kept.set(image, run)
  return there
}

/** The run and the image, at once: where there is no run, nothing is pulled for it. */
async function prepare(image: string, options: RunOptions): Promise<[Run, Image]> {
  const stop = new AbortController()
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal])
  const found = obtainImage(image, { ...options, signal })
  const run = currentRun()
  try {
    return await Promise.all([run, found])
  } catch (error) {
    stop.abort(error)
    await found.catch(() => undefined)
    // A machine that allows no containers is the reason for whatever else failed.
    await run
    throw error
  }
}
