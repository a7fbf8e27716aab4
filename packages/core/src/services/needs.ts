import { MayflyError } from '../errors.js'
import type { Inside, Service, Services } from './types.js'

/** A service that another one needs: what it is called there, and in the configuration. */
export interface Need {
  readonly key: string
  /** Of one that stands in no configuration: of the one that needs it, and the key. */
  readonly name: string
  readonly service: Service
}

/** What a service needs, in order. Services are known by value: two names of one value are one service. */
export function needsOf(name: string, { options }: Service, services: Services): readonly Need[] {
  return Object.entries(options.needs ?? {}).map(([key, service]) => ({ key, service, name: nameOf(service, services) ?? `${name}.${key}` }))
}

/** All services of a configuration, those that are only needed among them. Throws ERR_MAYFLY_CONFIG_INVALID for a cycle. */
export function withNeeds(services: Services, path: string): Services {
  const all = new Map<string, Service>(Object.entries(services))
  const visit = (name: string, service: Service, above: readonly string[]): void => {
    if (above.includes(name)) {
      const round = [...above.slice(above.indexOf(name)), name]
      throw new MayflyError('ERR_MAYFLY_CONFIG_INVALID', `${path}: ${round.map(one => `"${one}"`).join(' needs ')}`, {
        hint: 'None of them could start first: take one of the `needs` away.', details: { services: round },
      })
    }
    for (const need of needsOf(name, service, services)) {
      visit(need.name, need.service, [...above, name])
      all.set(need.name, need.service)
    }
  }
  for (const [name, service] of Object.entries(services)) visit(name, service, [])
  return Object.fromEntries(all)
}

/** The name under which those that need a service reach it, for its own configuration: the service's, where they agree on no other. */
export function insideOf(name: string, service: Service, services: Services): Inside | undefined {
  const keys = new Set(Object.entries(services).flatMap(([other, one]) => needsOf(other, one, services).filter(need => need.service === service).map(({ key }) => key)))
  if (keys.size === 0) return undefined
  const [only] = keys
  return { host: keys.size === 1 && only !== undefined ? only : name, port: container => container }
}

function nameOf(service: Service, services: Services): string | undefined {
  return Object.entries(services).find(([, one]) => one === service)?.[0]
}
