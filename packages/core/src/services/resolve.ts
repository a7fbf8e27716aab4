import { MayflyError } from '../errors.js'
import { nearestWord } from '../nearest.js'
import { PRESETS, presetOf, type PresetName, type StateKeeping } from './presets/index.js'
import type { Reset, Scope, Service, Services } from './types.js'

export const WIDTH: Readonly<Record<Scope, number>> = { test: 0, file: 1, worker: 2, run: 3 }

/** What a name stands for: a service of the config, else a preset, else (with `:`, `/` or `@`) an image. Throws ERR_MAYFLY_SERVICE_UNKNOWN. */
export function resolveService(name: string, services: Services, config: string | undefined): Service {
  const own = Object.hasOwn(services, name) ? services[name] : undefined
  if (own !== undefined) return own
  if (/[:/@]/.test(name)) return { image: name, preset: presetOf(name), options: {} }
  if (Object.hasOwn(PRESETS, name)) {
    const preset = name as PresetName
    return { image: PRESETS[preset].image, preset, options: {} }
  }
  const near = nearestWord(name, [...Object.keys(services), ...Object.keys(PRESETS)])
  const place = config ?? 'no mayfly.config was found'
  throw new MayflyError('ERR_MAYFLY_SERVICE_UNKNOWN', `No service or preset is called "${name}" (${place})`, {
    hint: near === undefined ? `An image's name has a tag or a slash: "${name}:latest".` : `Did you mean "${near}"?`,
    details: near === undefined ? { name } : { name, suggestion: near },
  })
}

export function scopeOfService({ options }: Service): Scope {
  return options.scope ?? 'file'
}

/** When an instance of this scope goes back to its prepared state. */
export function resetOf(service: Service, scope: Scope): Reset {
  const { reset, isolation } = service.options
  if (reset !== undefined) return reset
  return scope === 'worker' && (stateOf(service) !== undefined || isolation === 'database') ? 'file' : 'never'
}

/** How a service goes back to its state, if its preset knows that for what the configuration makes of it. */
export function stateOf({ preset, options }: Service): StateKeeping | undefined {
  const state = preset === undefined ? undefined : PRESETS[preset].state
  return options.prepare !== undefined && state?.keep === undefined ? undefined : state
}

/** The scope of a use: the service's own, or a narrower one. Throws ERR_MAYFLY_OPTION_INVALID for a wider one. */
export function scopeOf(service: Service, wanted: Scope | undefined, name: string): Scope {
  const own = scopeOfService(service)
  if (wanted === undefined || WIDTH[wanted] <= WIDTH[own]) return wanted ?? own
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `"${name}" has scope ${own}; a use cannot widen it to ${wanted}`, {
    hint: `Set scope: '${wanted}' where the service is defined.`,
  })
}
