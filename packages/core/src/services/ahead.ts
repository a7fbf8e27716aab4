import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import { findConfig } from './find-config.js'
import { modulesFrom } from './inputs.js'
import type { Instances } from './instances.js'
import type { Project } from './places.js'
import { needsAddress } from './start.js'
import type { Service } from './types.js'

/** Whether its first instance needs nothing but itself. Others are prepared with what the first lease has for them anyway. */
export function standsAlone(service: Service): boolean {
  return service.options.needs === undefined && !needsAddress(service)
}

/**
 * Prepares what a configuration declares while the runner is still looking for its tests, as many at once as there are
 * processors; of what is selected, what the selected files name. Failures are told to those who ask.
 */
export async function prepareAhead(instances: Pick<Instances, 'prepare'>, project: Project, files: readonly string[] | undefined, signal: AbortSignal): Promise<void> {
  const own = files?.filter(file => findConfig(dirname(file)) === project.path)
  const names = Object.keys(project.services).filter(name => project.services[name]?.options.prepare !== undefined)
  const wanted = (own === undefined ? names : await namedIn(own, names))[Symbol.iterator]()
  const work = async (): Promise<void> => {
    for (const name of wanted) {
      if (signal.aborted) return
      await instances.prepare(project, name).catch(() => undefined)
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
}

/** More modules than this are not looked into: any service may be meant then. */
const MOST_MODULES = 2000

/**
 * Those of `names` that test files name, themselves or in modules of the project that they import: in quotes, or in a pragma.
 * What another way leads to (an alias, a name that is put together) is prepared when it is first asked for.
 */
export async function namedIn(files: readonly string[], names: readonly string[]): Promise<readonly string[]> {
  const found = new Set<string>()
  let looked = 0
  for (const [, text] of modulesFrom(files)) {
    for (const name of names) if (new RegExp(`(["'\`]|@container\\s+)${name.replace(/[^\w]/g, '\\$&')}(?![\\w-])`).test(text)) found.add(name)
    if (found.size === names.length) break
    looked += 1
    if (looked > MOST_MODULES) return names
    // Workers may be asking meanwhile.
    if (looked % 50 === 0) await new Promise(resolve => void setImmediate(resolve))
  }
  return names.filter(name => found.has(name))
}
