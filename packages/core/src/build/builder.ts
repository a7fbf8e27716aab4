import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import type { Digest } from '../digest.js'
import { discardTree, openLease, openStore, storeFailed, syncLayers, type Lease, type Store } from '../images/index.js'
import { hostPlatform, parsePlatform } from '../platform.js'
import { parseReference } from '../reference.js'
import { openCache, type BuildCache } from './cache.js'
import { openContext, type Context } from './context.js'
import type { Source } from './dockerfile/fault.js'
import { parseDockerfile } from './dockerfile/parse.js'
import { splitStages, targetStage, type Stage } from './graph.js'
import { ReadFiles, type FreshLayer } from './pack.js'
import { Progress } from './progress.js'
import { openSecretFiles, type SecretFiles } from './secret.js'
import { createStages, unusedArgs, type StageRunner } from './stage.js'
import type { BuildState } from './state.js'
import type { BuildOptions, BuiltImage } from './types.js'
import { writeImage } from './write.js'

/** What every step of one build shares. */
export interface Build {
  readonly store: Store
  readonly cache: BuildCache
  /** Keeps what the build uses and makes from being collected. */
  readonly lease: Lease
  readonly options: BuildOptions
  readonly source: Source
  readonly escape: string
  readonly stages: readonly Stage[]
  /** ARGs of the whole file, and what the caller gave. */
  readonly globalArgs: Readonly<Record<string, string>>
  readonly context: Context
  readonly platform: BuildState['platform']
  readonly progress: Progress
  readonly secrets: SecretFiles
  readonly files: ReadFiles
  /** Layers that this build makes, by what they depend on: stages that do the same do it once. */
  readonly made: Map<string, Promise<FreshLayer>>
  /** Layers being measured. While they are, those below them must stay where they are. */
  readonly measuring: Set<Promise<unknown>>
  /** Layers that came into the store, by chain id. */
  readonly placed: Set<Digest>
  readonly signal: AbortSignal
  /** Seconds since 1970: no time in the image is later, and it is the image's own. */
  readonly epoch: number | undefined
  /** A directory of this build's, gone with it. */
  place(): string
}

/**
 * Builds an image from a Dockerfile. Only stages that the target needs are built, independent ones at the same time; steps
 * that an earlier build did are taken from it. Throws ERR_MAYFLY_DOCKERFILE_INVALID, ERR_MAYFLY_BUILD_FAILED and what
 * pulling the base images throws.
 */
export async function build(options: BuildOptions): Promise<BuiltImage> {
  // Not found out when all is built.
  for (const tag of options.tags ?? []) parseReference(tag)
  const store = await openStore()
  const directory = join(store.home, 'ingest', `build-${randomBytes(6).toString('hex')}`)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const stop = new AbortController()
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal])
  const lease = await openLease(store, signal)
  const secrets = openSecretFiles()
  const placed = new Set<Digest>()
  let stages: StageRunner | undefined
  try {
    const context = await openContext(options, { scratch: join(directory, 'context'), signal })
    const source = await context.dockerfile()
    const { directives, instructions } = parseDockerfile(source)
    const { global, stages: parsed } = splitStages(instructions)
    let last = 0
    const build: Build = {
      store, lease, cache: openCache(store), options, source, context, secrets, signal, files: new ReadFiles(), made: new Map(), measuring: new Set(), placed, stages: parsed,
      escape: directives['escape'] ?? '\\',
      globalArgs: {},
      platform: options.platform === undefined ? hostPlatform() : parsePlatform(options.platform),
      progress: new Progress(options.onProgress),
      epoch: epochOf(process.env['SOURCE_DATE_EPOCH'] ?? options.buildArgs?.['SOURCE_DATE_EPOCH']),
      place: () => {
        last += 1
        return join(directory, String(last))
      },
    }
    const unused = unusedArgs(build, global)
    if (unused.length > 0) build.progress.warn(`no ARG asks for ${unused.join(', ')}`)
    stages = createStages(build, global)
    const state = await stages.of(targetStage(source, parsed, options.target))
    return await writeImage(build, state)
  } catch (error) {
    throw ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO'].includes((error as NodeJS.ErrnoException).code ?? '') ? storeFailed('The build cannot be written to the store', error) : error
  } finally {
    stop.abort()
    await stages?.settle()
    // What was built is worth keeping over a restart of the machine, and nobody waits for the disk.
    syncLayers(store, [...placed])
    await secrets.close()
    await lease.release()
    await discardTree(store, directory)
  }
}

function epochOf(text: string | undefined): number | undefined {
  return text === undefined || !/^\d+$/.test(text) ? undefined : Number(text)
}
