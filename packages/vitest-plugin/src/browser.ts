// For tests that run in a browser, where there are no sockets to the run: nothing but Vitest is imported.
import { inject } from 'vitest'
import type { ProvidedServices } from './provided.js'

export type { ProvidedService, ProvidedServices } from './provided.js'

/**
 * The address of a service that the whole run shares (`scope: 'run'`), and what its preset knows of it. Throws
 * ERR_MAYFLY_SERVICE_UNKNOWN for any other.
 */
export function service<const N extends keyof ProvidedServices>(name: N): NonNullable<ProvidedServices[N]> {
  const services = (inject('mayfly') as ProvidedServices | undefined) ?? {}
  const found = services[name]
  if (found !== undefined) return found
  const known = Object.keys(services).join(', ') || 'none'
  throw Object.assign(new Error(`"${name}" is no service that this run provides to browsers. Provided are those of scope 'run': ${known}.`), { code: 'ERR_MAYFLY_SERVICE_UNKNOWN' })
}
