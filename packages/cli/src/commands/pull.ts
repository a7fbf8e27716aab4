import { invalid } from '../action.js'
import { interruptible } from '../interrupt.js'
import { openProgress } from '../progress.js'
import { showPull } from '../pull-progress.js'

interface Flags {
  readonly quiet?: boolean
  readonly platform?: string
  readonly allTags?: boolean
}

/** Downloads an image, or without a name those of the configuration, showing progress. */
export async function pull(text: string | undefined, options: Flags): Promise<void> {
  await interruptible(async (signal) => {
    if (text !== undefined && options.allTags === true) return await allTags(text, options, signal)
    if (text !== undefined) return await one(text, options, signal)
    const { configOf, imagesOf } = await import('@mayfly/core/plugin')
    const { config } = await configOf(process.cwd())
    // One after the other: their layers come side by side.
    for (const { image } of imagesOf(config)) await one(image, options, signal)
  })
}

/** Every tag of a repository. */
async function allTags(text: string, options: Flags, signal: AbortSignal): Promise<void> {
  const { fetchTags, parseReference, repositoryOf } = await import('@mayfly/core/engine')
  const reference = parseReference(text)
  if (reference.digest !== undefined || repositoryOf(text) !== text) throw invalid('--all-tags and a tag contradict each other', 'Name the repository alone.')
  for (const tag of await fetchTags(reference, signal)) await one(`${text}:${tag}`, options, signal)
}

async function one(text: string, { quiet, platform }: Flags, signal: AbortSignal): Promise<void> {
  const { openStore, parsePlatform, parseReference, pullImage } = await import('@mayfly/core/engine')
  const progress = openProgress({ quiet })
  try {
    const image = await pullImage(await openStore(), parseReference(text), {
      policy: 'always', signal, onProgress: showPull(progress), ...(platform === undefined ? {} : { platform: parsePlatform(platform) }),
    })
    progress.end()
    if (quiet !== true) process.stdout.write(`Digest: ${image.digest}\n`)
    process.stdout.write(`${String(image.reference)}\n`)
  } finally {
    progress.end()
  }
}
