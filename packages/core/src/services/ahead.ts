import type { Images } from './images.js'
import type { Places, Project } from './places.js'
import type { Prepared } from './prepared.js'
import { needsAddress, runOptions, type Engine } from './start.js'
import type { Service } from './types.js'

export interface Preparation {
  readonly engine: Engine
  readonly images: Images
  readonly places: Places
  readonly prepared: Prepared
}

/** Prepares a service whose first instance needs nothing but itself; for others the first lease does. */
export async function prepareAlone({ engine, images, places, prepared }: Preparation, project: Project, name: string, service: Service): Promise<void> {
  if (service.options.prepare === undefined || service.options.needs !== undefined || needsAddress(service)) return
  if (places.isExternal(project, name)) return
  const image = await images.of(service)
  await prepared.of(service, { config: project.path, name }, image, runOptions(engine, service, undefined, image))
}

/**
 * Prepares what a configuration declares while the runner is still looking for its tests: one after the other, since whoever
 * asks for one meanwhile goes first. Failures are told to those who ask.
 */
export async function prepareAhead(preparation: Preparation, project: Project, signal: AbortSignal): Promise<void> {
  for (const [name, service] of Object.entries(project.services)) {
    if (signal.aborted) return
    await prepareAlone(preparation, project, name, service).catch(() => undefined)
  }
}
