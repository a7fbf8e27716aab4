import { hostPlatform } from '../platform.js'
import { fault, type Source } from './dockerfile/fault.js'
import { expandWord, expandWords, ExpansionError, type Lookup } from './dockerfile/expand.js'
import type { Place } from './dockerfile/types.js'
import { envOf, type BuildState } from './state.js'

/** Variables that need no ARG, and do not belong to the cache key. [Dockerfile reference, "Predefined ARGs"] */
const PREDEFINED = new Set(['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap(name => [name, name.toLowerCase()]))

export function isPredefined(name: string): boolean {
  return PREDEFINED.has(name)
}

/** What BuildKit sets for every build; a stage sees those its ARG names. [Dockerfile reference, "Automatic platform ARGs"] */
export function platformArgs(target: BuildState['platform']): Readonly<Record<string, string>> {
  return { ...described('TARGET', target), ...described('BUILD', hostPlatform()) }
}

function described(prefix: string, { os, architecture, variant }: BuildState['platform']): Readonly<Record<string, string>> {
  const whole = [os, architecture, ...(variant === undefined ? [] : [variant])].join('/')
  return { [`${prefix}PLATFORM`]: whole, [`${prefix}OS`]: os, [`${prefix}ARCH`]: architecture, [`${prefix}VARIANT`]: variant ?? '' }
}

/** Expansion inside a stage: the image's environment, then the stage's ARGs. */
export function lookupIn({ config, args }: Pick<BuildState, 'config' | 'args'>): Lookup {
  return name => envOf(config, name) ?? (Object.hasOwn(args, name) ? args[name] : undefined)
}

/** Expands a word of an instruction; what no shell would take is an error at the instruction. */
export function expandAt(source: Source, place: Place, text: string, lookup: Lookup, escape: string): string {
  return guarded(source, place, () => expandWord(text, lookup, escape).text)
}

export function expandListAt(source: Source, place: Place, text: string, lookup: Lookup, escape: string): readonly string[] {
  return guarded(source, place, () => expandWords(text, lookup, escape).words)
}

function guarded<T>(source: Source, place: Place, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof ExpansionError) throw fault(source, place, error.message)
    throw error
  }
}
