import type { Container } from '../container/types.js'
import { createDatabaseMaker, serverNameOf } from './database.js'
import type { Leases, Make, Wish } from './leases.js'
import { fillPool, makeContainer, prepareService, type HeldNeed, type Supply } from './make.js'
import type { Place, Places, Project } from './places.js'
import { resetOf, scopeOfService } from './resolve.js'
import { addressOf, insideFactsOf, needsAddress } from './start.js'
import type { Scope, Service } from './types.js'

/** Instances of services, of whatever kind: a container, a database of a server, a server of somebody else's. */
export interface Instances {
  maker(wish: Wish, service: Service, project: Project | undefined): Make
  /** Brings a service of a configuration into its prepared state, before anybody leases it. */
  prepare(project: Project, name: string): Promise<void>
  /** Starts what is to be there with the run. Failures are told to whoever leases it. */
  startEager(project: Project, slots: number, leases: Pick<Leases, 'take'>): void
}

export function createInstances(supply: Supply, places: Places): Instances {
  const databases = createDatabaseMaker(supply)

  const maker = (wish: Wish, service: Service, project: Project | undefined): Make => {
    if (project === undefined) return makeContainer(supply, { wish, service, stable: undefined, inside: undefined, needs: [] })
    const external = places.external(project, wish.name)
    if (external !== undefined) return async (signal, holder) => await (await external).make(wish)(signal, holder)
    return async (signal, holder) => {
      const needs = needsFor(wish, project)
      const place = await places.of(project, wish.name, wish.slot)
      const facts = await places.factsOf(project, wish.name, wish.slot)
      const held = needs.map((need): HeldNeed => ({ ...need, facts: facts[need.key] ?? {} }))
      const inside = places.insideOf(project, wish.name)
      if (service.options.isolation === 'database' && place.stable !== undefined) {
        const { stable } = place
        const server = makeContainer(supply, { wish: { ...wish, scope: 'run' }, service, stable, inside, needs: held })
        return await databases.make({ wish, service, stable, needs: facts, server })(signal, holder)
      }
      const stable = behind(wish, place)
      return await makeContainer(supply, { wish, service, stable, inside, needs: held })(signal, holder)
    }
  }
  const needsFor = (wish: Wish, project: Project): Omit<HeldNeed, 'facts'>[] => places.needsOf(project, wish.name).map(({ key, name, service }) => {
    const own = scopeOfService(service)
    // What a preparation needs is there for it alone.
    const scope = wish.slot === NOBODYS && own === 'worker' ? 'file' : own
    const needed: Wish = {
      ...wish, name, as: name, scope,
      // One that the file has, whichever of its tests asks.
      attempt: scope === 'test' ? wish.attempt : wish.fileAttempt, concurrent: scope === 'test' && wish.concurrent,
    }
    return { key, name, wish: () => needed, make: maker(needed, service, project) }
  })
  return {
    maker,
    prepare: async (project, name) => {
      const service = project.all[name]
      if (service?.options.prepare === undefined || places.isExternal(project, name)) return
      const wish = wishOf(project, name, NOBODYS, 'file', 'preparation')
      const needs = needsFor(wish, project)
      // On a server elsewhere a worker gets a database of its own, and nobody else: the first lease prepares.
      if (needs.some(need => places.isExternal(project, need.name))) return
      if (needs.length === 0 && !needsAddress(service)) return await prepareService(supply, wish, service, [], undefined)
      const facts = await places.factsOf(project, name, NOBODYS)
      const { stable } = await places.of(project, name, NOBODYS)
      if (stable === undefined) return
      const held = needs.map((need): HeldNeed => ({ ...need, facts: facts[need.key] ?? {} }))
      await prepareService(supply, wish, service, held, { self: stable.self, needs: facts })
    },
    startEager: (project, slots, leases) => {
      for (const [name, service] of Object.entries(project.services)) {
        if (service.options.start !== 'eager') continue
        const scope = scopeOfService(service)
        const owners = scope === 'run' ? [1] : scope === 'worker' ? Array.from({ length: slots }, (_, nth) => nth + 1) : []
        for (const slot of owners) {
          const wish = wishOf(project, name, slot, scope, 'eager')
          leases.take(wish, resetOf(service, scope), maker(wish, service, project)).catch(() => undefined)
        }
        if (owners.length === 0 && service.options.needs === undefined) void ahead(project, name, service, slots)
      }
    },
  }

  /** Of a file or a test nobody has asked yet: as many wait as there are workers. */
  async function ahead(project: Project, name: string, service: Service, slots: number): Promise<void> {
    const wish = wishOf(project, name, 1, 'file', 'eager')
    if (service.options.isolation === 'database') {
      const place = await places.of(project, name, 1)
      if (place.stable === undefined) return
      const server = makeContainer(supply, { wish: { ...wish, scope: 'run' }, service, stable: place.stable, inside: undefined, needs: [] })
      await supply.leases().hold({ ...wish, name: serverNameOf(name), scope: 'run' }, 'eager', server).catch(() => undefined)
      return
    }
    await fillPool(supply, wish, service, slots).catch(() => undefined)
  }
}

/** Of the run itself, for no file. */
function wishOf({ path }: Project, name: string, slot: number, scope: Scope, attempt: string): Wish {
  return { slot, config: path, name, as: name, file: '', attempt, fileAttempt: attempt, scope, concurrent: false }
}

/** A slot that no worker has. */
const NOBODYS = 0

/** A second use of one service in a file under another name, or by another test at the same time, has an address of its own. */
function behind({ as, name, concurrent }: Wish, { stable }: Place): Place['stable'] {
  return as === name && !concurrent ? stable : undefined
}

/** A container from a snapshot that a test made, at its own address. */
export function cloneMaker(service: Service, start: () => Promise<Container>): Make {
  return async () => {
    const container = await start()
    return {
      container,
      address: addressOf(service, container),
      inside: { host: container.ip, facts: insideFactsOf(service, { host: container.ip, port: n => n }, { self: container }) },
      exit: container.exit,
      reset: undefined,
      detach: () => Promise.resolve(),
      end: () => container.stop({ timeout: 0 }),
    }
  }
}
