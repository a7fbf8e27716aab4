import { readFileSync } from 'node:fs'
import { checkForm, OPTIONS } from '../container/form.js'
import type { RunOptions } from '../container/types.js'
import { isMayflyError, MayflyError } from '../errors.js'
import { nearestWord } from '../nearest.js'
import { needsOf, withNeeds } from './needs.js'
import { resetOf, scopeOfService, WIDTH, stateOf } from './resolve.js'
import { presetOf } from './start.js'
import type { AnyOptions, Config, Service, Services } from './types.js'

type Form = readonly [what: string, fits: (value: unknown) => boolean]

const one = (...words: readonly string[]): Form => [words.map(word => `'${word}'`).join(', '), value => words.includes(value as string)]
const isFunction = (value: unknown): boolean => typeof value === 'function'

/** The options of services that `run()` does not have. */
const OWN: Readonly<Record<Exclude<keyof AnyOptions, keyof RunOptions> | 'env', Form>> = {
  scope: one('run', 'worker', 'file', 'test'),
  reset: one('never', 'file', 'test'),
  isolation: one('container', 'database'),
  start: one('lazy', 'eager'),
  external: ['an address such as postgres://user:password@host:5432/database', value => value === '' || (typeof value === 'string' && URL.canParse(value))],
  needs: ['services by name: { broker: kafka() }', value => isRecord(value) && Object.values(value).every(isService)],
  prepare: ['a function, or { inputs: [\'migrations/**/*.sql\'], run: (service, { sh }) => … }', isPrepare],
  exports: ['functions by the variable\'s name: { DATABASE_URL: db => db.url }', value => isRecord(value) && Object.values(value).every(isFunction)],
  env: ['values by name, all of them text, or a function that returns them', value => isFunction(value) || (isRecord(value) && Object.values(value).every(text => typeof text === 'string'))],
}

/** Throws ERR_MAYFLY_CONFIG_INVALID with file, line and what is allowed. */
export async function checkConfig(config: unknown, path: string): Promise<Config> {
  const services = isRecord(config) ? config['services'] : undefined
  if (!isRecord(services)) throw invalid(path, 'its default export has no `services`', FORM)
  for (const [name, service] of Object.entries(services)) {
    if (!/^[A-Za-z_][\w-]*$/.test(name)) throw invalid(lineOf(path, name), `"${name}" is no name of a service (letters, digits, _ and -)`)
    if (!isService(service)) throw invalid(lineOf(path, name), `"${name}" is no service`, FORM)
  }
  const all = withNeeds(services as Services, path)
  for (const [name, service] of Object.entries(all)) {
    await checkOptions(name, service, path)
    checkTogether(name, service, all, path)
  }
  return config as unknown as Config
}

async function checkOptions(name: string, { options }: Service, path: string): Promise<void> {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  for (const [option, value] of given) {
    const where = lineOf(path, name, option)
    const own = Object.hasOwn(OWN, option) ? OWN[option as keyof typeof OWN] : undefined
    if (own !== undefined) {
      const [what, fits] = own
      if (!fits(value)) throw invalid(where, `"${name}" has an invalid ${option} ${shown(value)}: allowed is ${what}`)
      continue
    }
    try {
      await checkForm({ [option]: value })
    } catch (error) {
      if (!isMayflyError(error)) throw error
      const known = nearestWord(option, [...Object.keys(OWN), ...OPTIONS])
      const hint = (OPTIONS as readonly string[]).includes(option) ? error.hint : known === undefined ? error.hint : `Did you mean "${known}"?`
      throw invalid(where, `"${name}": ${error.message}`, hint)
    }
  }
}

/** What two settings cannot both mean. */
function checkTogether(name: string, service: Service, services: Services, path: string): void {
  const { options } = service
  const refuse = (option: string, why: string, hint?: string): never => { throw invalid(lineOf(path, name, option), `"${name}" ${why}`, hint) }
  const preset = presetOf(service)
  const scope = scopeOfService(service)
  const kind = service.preset ?? service.image
  if (options.isolation === 'database' && preset?.databases === undefined) {
    refuse('isolation', `cannot be isolated by database: ${kind} has none`, 'postgres, mariadb, mysql, redis and valkey have.')
  }
  if (options.reset !== undefined && options.reset !== 'never' && stateOf(service) === undefined && options.isolation !== 'database') {
    refuse('reset', `cannot be reset: nobody knows how to bring ${kind} back to its prepared state`, 'Let every file have its own: scope: \'file\'.')
  }
  if (scope === 'run' && resetOf(service, scope) !== 'never') {
    refuse('reset', 'has scope run: workers use it at the same time, so it is never reset', 'Use scope: \'worker\', or isolation: \'database\'.')
  }
  for (const need of needsOf(name, service, services)) {
    if (WIDTH[scopeOfService(need.service)] < WIDTH[scope]) {
      refuse('needs', `has scope ${scope} and needs "${need.key}" of scope ${scopeOfService(need.service)}, which ends earlier`, `Set scope: '${scope}' on "${need.key}" too.`)
    }
    if (options.network !== undefined) refuse('network', 'needs other services, which come with a network of their own', 'Leave `network` out.')
  }
}

/** `path:line`, where a service's option stands in the configuration's text, as far as that can be told. */
export function lineOf(path: string, service: string, option?: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return path
  }
  const key = (word: string): RegExp => new RegExp(`(^|[\\s{,(])["']?${word.replace(/[^\w]/g, '\\$&')}["']?\\s*(:|=|[,}])`, 'm')
  const at = text.search(key(service))
  if (at < 0) return path
  const rest = option === undefined ? -1 : text.slice(at).search(key(option))
  // A line's break may belong to what was found.
  const found = at + Math.max(0, rest) + 1
  return `${path}:${String(text.slice(0, found).split('\n').length)}`
}

/** What a configuration looks like. */
const FORM = 'export default defineConfig({ services: { db: postgres(), web: image(\'nginx:1\') } })'

export function invalid(where: string, why: string, hint?: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_CONFIG_INVALID', `${where}: ${why}`, { hint })
}

function isService(value: unknown): boolean {
  return isRecord(value) && typeof value['image'] === 'string' && value['image'] !== '' && isRecord(value['options'])
}

function isPrepare(value: unknown): boolean {
  if (isFunction(value)) return true
  if (!isRecord(value) || !isFunction(value['run'])) return false
  const { inputs } = value
  return inputs === undefined || (Array.isArray(inputs) && inputs.every(pattern => typeof pattern === 'string'))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function shown(value: unknown): string {
  return typeof value === 'function' ? 'a function' : JSON.stringify(value) ?? String(value)
}
