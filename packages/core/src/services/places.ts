import { dirname } from 'node:path'
import type { Address } from './address.js'
import { openAddress, type StableAddress } from './addresses.js'
import { loadConfig } from './config.js'
import { findConfig } from './find-config.js'
import { definitionsOf } from './definition.js'
import { externalUrl, openExternal, type ExternalServer } from './external/index.js'
import type { Images } from './images.js'
import type { Journal } from './journal.js'
import { insideOf, needsOf, withNeeds, type Need } from './needs.js'
import { neededFacts } from './make.js'
import { exportsOf, factsOf, presetOf, type Engine, type Setting } from './start.js'
import type { Inside, Service, Services } from './types.js'

/** A configuration that was loaded. */
export interface Project {
  readonly path: string
  /** As it is written. */
  readonly services: Services
  /** With those that are only needed. */
  readonly all: Services
  /** What each depends on. */
  readonly definitions: Readonly<Record<string, string>>
}

/** Where a service is reached in a slot. */
export interface Place {
  readonly address: Address
  /** Absent for a server that is not ours. */
  readonly stable: StableAddress | undefined
}

/** The configurations of a run, and the addresses of their services. */
export interface Places {
  /** The configuration that holds for a test file. */
  projectOf(file: string): Promise<Project | undefined>
  load(path: string): Promise<Project>
  /** The same, afresh, and without heeding it yet. */
  read(path: string): Promise<Project>
  /** The configurations that were loaded. */
  known(): readonly string[]
  /** Has another one of this path hold, or none any more. Answers the services that are no longer what they were. */
  replace(path: string, project: Project | undefined): Promise<readonly string[]>
  /** Closes the addresses of services, and drops what was made for them elsewhere. */
  forget(path: string, names: readonly string[]): Promise<void>
  /** Of a service of the configuration, or of a database in it. */
  of(project: Project, name: string, slot: number): Promise<Place>
  needsOf(project: Project, name: string): readonly Need[]
  /** What a service's `env` is told of those it needs, by key. */
  factsOf(project: Project, name: string, slot: number): Promise<Readonly<Record<string, object>>>
  /** The name under which those that need it reach a service. */
  insideOf(project: Project, name: string): Inside | undefined
  isExternal(project: Project, name: string): boolean
  external(project: Project, name: string): Promise<ExternalServer> | undefined
  /** The services that run in containers. */
  contained(project: Project): Services
  /** All addresses of a configuration's slots, as workers know them from the start. */
  table(project: Project): Promise<Record<string, Record<string, Address>>>
  /** Drops what was made on servers of somebody else's; closes the addresses, unless something stays behind them. */
  close(stays: boolean): Promise<void>
}

export interface PlacesOptions {
  readonly engine: Engine
  readonly images: Images
  readonly journal: Journal
  /** The run's name. */
  readonly run: string
  readonly slots: number
  /** Configurations are read again. */
  readonly watching: boolean
}

export function createPlaces({ engine, images, journal, run, slots, watching }: PlacesOptions): Places {
  const projects = new Map<string, Promise<Project>>()
  const stables = new Map<string, Promise<StableAddress>>()
  const externals = new Map<string, Promise<ExternalServer>>()

  const external = (project: Project, name: string): Promise<ExternalServer> | undefined => {
    const service = serviceOf(project, name)
    const url = externalUrl(name, service)
    return url === undefined ? undefined : remember(externals, JSON.stringify([project.path, name]), () =>
      openExternal({ name, service, url, config: project.path, run, slots, journal }))
  }
  const read = async (path: string): Promise<Project> => {
    const { services } = await loadConfig(path)
    const all = withNeeds(services, path)
    return { path, services, all, definitions: watching ? definitionsOf(all, path) : {} }
  }
  const load = (path: string): Promise<Project> => remember(projects, path, () => read(path))
  const serviceOf = ({ all }: Project, name: string): Service => all[name] as Service
  const factsFor = async (project: Project, name: string, slot: number): Promise<Readonly<Record<string, object>>> => {
    const needs = needsOf(name, serviceOf(project, name), project.all)
    const facts = await Promise.all(needs.map(async need => {
      const { stable, address } = await of(project, need.name, slot)
      if (stable === undefined) return [need.key, { host: address.host, port: (n: number) => address.ports[String(n)], ...address.facts, inside: { host: address.host, port: (n: number) => n, ...address.facts } }] as const
      return [need.key, neededFacts(need.service, stable, need.key, { needs: await factsFor(project, need.name, slot) })] as const
    }))
    return Object.fromEntries(facts)
  }
  const of = async (project: Project, name: string, slot: number): Promise<Place> => {
    const service = serviceOf(project, name)
    const server = await external(project, name)
    if (server !== undefined) return { address: await server.address(slot), stable: undefined }
    const shared = service.options.scope === 'run' || service.options.isolation === 'database'
    const stable = await remember(stables, JSON.stringify([project.path, name, shared ? 0 : slot]), async () => {
      return await openAddress(engine, service, await images.of(service), { needs: await factsFor(project, name, slot), inside: insideOf(name, service, project.all) })
    })
    // The address outlives a change of the configuration that does not concern the instances behind it.
    if (service.options.isolation !== 'database') return { address: { ...stable.address, exports: exportsOf(service, { self: stable.self, needs: await factsFor(project, name, slot) }) }, stable }
    const setting: Setting = { self: stable.self, needs: await factsFor(project, name, slot), database: databaseOf(service, stable, slot) }
    return { address: { ...stable.address, facts: factsOf(service, setting), exports: exportsOf(service, setting) }, stable }
  }
  return {
    load, read, of, external,
    known: () => [...projects.keys()],
    replace: async (path, project) => {
      const before = await projects.get(path)?.catch(() => undefined)
      if (project === undefined) projects.delete(path)
      else projects.set(path, Promise.resolve(project))
      return Object.keys(before?.all ?? {}).filter(name => before?.definitions[name] !== project?.definitions[name])
    },
    forget: async (path, names) => {
      const isOf = (key: string): boolean => {
        const [config, name] = JSON.parse(key) as readonly [string, string]
        return config === path && names.includes(name)
      }
      for (const opened of [stables, externals]) {
        const gone = [...opened].filter(([key]) => isOf(key))
        for (const [key] of gone) opened.delete(key)
        await Promise.allSettled(gone.map(async ([, one]) => await (await one).close()))
      }
    },
    factsOf: factsFor,
    insideOf: (project, name) => insideOf(name, serviceOf(project, name), project.all),
    isExternal: (project, name) => externalUrl(name, serviceOf(project, name)) !== undefined,
    contained: project => Object.fromEntries(Object.entries(project.all).filter(([name, service]) => externalUrl(name, service) === undefined)),
    projectOf: async file => {
      const path = findConfig(dirname(file))
      return path === undefined ? undefined : await load(path)
    },
    needsOf: (project, name) => needsOf(name, serviceOf(project, name), project.all),
    table: async project => {
      const all: Record<string, Record<string, Address>> = {}
      for (let slot = 1; slot <= slots; slot++) {
        const own: Record<string, Address> = {}
        for (const name of Object.keys(project.services)) own[name] = (await of(project, name, slot)).address
        all[String(slot)] = own
      }
      return all
    },
    close: async stays => {
      await Promise.all([...externals.values()].map(async opened => await (await opened).close()))
      if (!stays) await Promise.all([...stables.values()].map(async opened => await (await opened).close()))
    },
  }
}

/** The name of the nth database of a server. */
export function databaseOf(service: Service, { self }: Pick<StableAddress, 'self'>, nth: number): string {
  const preset = presetOf(service)
  const { env } = service.options
  // Names of databases do not depend on services that are needed.
  const own = { ...(typeof preset?.env === 'function' ? preset.env(self) : preset?.env), ...(typeof env === 'object' ? env : {}) }
  return preset?.databases?.name(own, nth) ?? ''
}

function remember<T>(known: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const there = known.get(key)
  if (there !== undefined) return there
  const made = make()
  known.set(key, made)
  made.catch(() => known.delete(key))
  return made
}
