import type { FoundImage } from '../container/index.js'
import type { RunOptions } from '../container/types.js'
import { isMayflyError, MayflyError, messageOf } from '../errors.js'
import type { Journal } from './journal.js'
import { describePull } from './pulling.js'
import type { Engine } from './start.js'
import type { Service, Services } from './types.js'

/** The images of a run: each is looked for once, and pulled when need be. */
export interface Images {
  of(service: Service): Promise<FoundImage>
  /** Those of a whole configuration, at once. Throws one error that lists all that cannot be had. */
  ofAll(services: Services, config: string): Promise<void>
}

export function createImages(engine: Engine, journal: Journal): Images {
  const known = new Map<string, Promise<FoundImage>>()
  const find = async ({ image, options: { pull, platform } }: Service): Promise<FoundImage> => {
    const began = Date.now()
    let bytes = 0
    const describe = describePull((line) => void process.stderr.write(line))
    const onPull: NonNullable<RunOptions['onPull']> = (progress) => {
      bytes = progress.done
      describe(progress)
    }
    const found = await engine.findImage(image, { pull, platform, onPull })
    const { reference, digest, origin, pulledAt } = found
    journal.note({ event: 'image', image: reference, digest, from: pulledAt >= began ? 'registry' : 'store', origin, ms: Date.now() - began, bytes })
    return found
  }
  const of = (service: Service): Promise<FoundImage> => {
    const key = JSON.stringify([service.image, service.options.platform, service.options.pull])
    const there = known.get(key)
    if (there !== undefined) return there
    const found = find(service)
    known.set(key, found)
    // The next who asks tries again.
    found.catch(() => known.delete(key))
    return found
  }
  return {
    of,
    ofAll: async (services, config) => {
      const entries = Object.entries(services)
      const outcomes = await Promise.allSettled(entries.map(([, service]) => of(service)))
      const failures = outcomes.flatMap((outcome, i) => outcome.status === 'rejected' ? [{ name: entries[i]?.[0] ?? '', reason: outcome.reason as unknown }] : [])
      if (failures.length > 0) throw missing(failures, services, config)
    },
  }
}

function missing(failures: readonly { readonly name: string; readonly reason: unknown }[], services: Services, config: string): MayflyError {
  const first = failures[0]?.reason
  const lines = failures.map(({ name, reason }) => `  ${name}: ${messageOf(reason)}`)
  const wanted = [...new Set(failures.map(({ name }) => services[name]?.image ?? ''))]
  const advice = isMayflyError(first) && first.hint !== undefined ? `${first.hint} ` : ''
  return new MayflyError(isMayflyError(first) ? first.code : 'ERR_MAYFLY_INTERNAL', `${config} names images that cannot be had:\n${lines.join('\n')}`, {
    cause: first,
    hint: `${advice}Then: mayfly pull ${wanted.join(' ')}`,
    details: { images: wanted },
  })
}
