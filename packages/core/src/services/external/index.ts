import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Address } from '../address.js'
import type { Journal } from '../journal.js'
import { isMayflyError, MayflyError, messageOf } from '../../errors.js'
import type { Made, Make, Wish } from '../leases.js'
import type { PresetName } from '../presets/index.js'
import { shellIn } from '../shell.js'
import { exportsFrom, presetOf } from '../start.js'
import type { Service } from '../types.js'
import type { ExternalClient, Load, OpenClient } from './types.js'

/** A server of somebody else's that stands for a service. */
export interface ExternalServer {
  /** Where a slot reaches it: a database of its own there, where it is a server of databases. */
  address(slot: number): Promise<Address>
  make(wish: Wish): Make
  /** Drops what was made there, and nothing else. */
  close(): Promise<void>
}

/** Where the service's own container is replaced: `external`, or MAYFLY_EXTERNAL_<NAME>. */
export function externalUrl(name: string, { options }: Service, environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const own = environment[externalVariable(name)]
  const url = own !== undefined && own !== '' ? own : options.external
  return url === '' ? undefined : url
}

/** `MAYFLY_EXTERNAL_MY_DB` for a service called `my-db`. */
export function externalVariable(name: string): string {
  return `MAYFLY_EXTERNAL_${name.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`
}

const CLIENTS: Readonly<Partial<Record<PresetName, () => Promise<OpenClient>>>> = {
  postgres: async () => (await import('./postgres.js')).openPostgres,
  mariadb: async () => (await import('./mysql.js')).openMysql,
  mysql: async () => (await import('./mysql.js')).openMysql,
  redis: async () => (await import('./redis.js')).openRedis,
  valkey: async () => (await import('./redis.js')).openRedis,
  mongodb: async () => (await import('./mongodb.js')).openMongodb,
}

export interface ExternalOptions {
  readonly name: string
  readonly service: Service
  readonly url: string
  /** The configuration's path. */
  readonly config: string
  /** The run's name, which its databases carry. */
  readonly run: string
  readonly slots: number
  readonly journal: Journal
}

/** Throws ERR_MAYFLY_UNSUPPORTED for several workers where no database may be made, or without the client's package. */
export async function openExternal(options: ExternalOptions): Promise<ExternalServer> {
  const { name, service, url: text, config, slots } = options
  if (!URL.canParse(text)) {
    throw new MayflyError('ERR_MAYFLY_CONFIG_INVALID', `The external address of "${name}" is none: it begins with a scheme, such as postgres://`, { hint: `It comes from \`external\` in ${config}, or from ${externalVariable(name)}.` })
  }
  const url = new URL(text)
  const open = service.preset === undefined ? undefined : await CLIENTS[service.preset]?.()
  if (open === undefined) return asItIs(options, url)
  const client = await open(url, loader(config, name, service)).catch((cause: unknown) => { throw unreachable(name, url, cause) })
  if (await client.mayCreate().catch((cause: unknown) => { throw unreachable(name, url, cause) })) return withDatabases(options, client)
  await client.end()
  if (slots > 1) {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `"${name}" is an external server where ${url.username || 'this user'} may not create databases, so ${String(slots)} workers would share one`, {
      hint: 'Let the user create databases (PostgreSQL: ALTER ROLE … CREATEDB), or run the tests in one worker.',
    })
  }
  return asItIs(options, url)
}

/** Nothing is made there, and nothing brought back: it is not ours. `prepare` runs on it once. */
function asItIs({ name, service, config, journal }: ExternalOptions, url: URL): ExternalServer {
  const address = addressAt(service, url.href)
  let prepared: Promise<void> | undefined
  return {
    address: () => Promise.resolve(address),
    make: wish => async () => {
      await (prepared ??= prepareAt(service, name, config, address))
      return made(wish, address, undefined, journal, () => Promise.resolve())
    },
    close: () => Promise.resolve(),
  }
}

function withDatabases({ name, service, config, run, journal }: ExternalOptions, client: ExternalClient): ExternalServer {
  const chosen = new Map<string, Promise<string>>()
  const ours = new Set<string>()
  const base = `mayfly_${run}_${name.toLowerCase().replace(/[^a-z0-9]/g, '_')}`.slice(0, 50)
  const nameOf = (which: string): Promise<string> => {
    const there = chosen.get(which) ?? client.choose(`${base}_${which}`)
    chosen.set(which, there)
    return there
  }
  const addressOf = async (which: string): Promise<Address> => addressAt(service, client.urlOf(await nameOf(which)))
  const create = async (database: string, template?: string): Promise<void> => {
    await client.create(database, template)
    ours.add(database)
  }
  const prepareIn = async (which: string): Promise<void> => {
    await prepareAt(service, name, config, await addressOf(which))
    await client.keep?.(await nameOf(which))
  }
  let template: Promise<string> | undefined
  const copied = async (): Promise<string> => {
    const database = await nameOf('prepared')
    await create(database)
    await prepareIn('prepared')
    return database
  }
  let others = 0
  const whichOf = (wish: Wish): string => {
    if (wish.scope === 'run') return '1'
    return wish.as === wish.name && !wish.concurrent ? String(wish.slot) : `x${String(others += 1)}`
  }
  return {
    address: slot => addressOf(String(slot)),
    make: wish => async () => {
      const which = whichOf(wish)
      const database = await nameOf(which)
      // Of the same slot's last file.
      if (ours.has(database)) await client.drop(database)
      if (client.copies) await create(database, await (template ??= copied()))
      else {
        await create(database)
        await prepareIn(which)
      }
      const { restore } = client
      return made(wish, await addressOf(which), restore === undefined ? undefined : () => restore(database), journal, async () => {
        if (!ours.has(database)) return
        await client.drop(database)
        ours.delete(database)
      })
    },
    close: async () => {
      for (const database of ours) await client.drop(database).catch((error: unknown) => process.stderr.write(`mayfly: ${database} could not be dropped on the external server of "${name}": ${String(error)}\n`))
      await client.end().catch(() => undefined)
    },
  }
}

function made(wish: Wish, address: Address, reset: Made['reset'], journal: Journal, end: () => Promise<void>): Made {
  journal.note({ event: 'ready', name: wish.as, slot: wish.slot, image: '', container: '', from: 'external', ms: 0, host: address.host, ports: address.ports })
  return { container: undefined, address, inside: { host: address.host, facts: address.facts }, exit: undefined, reset, detach: () => Promise.resolve(), end }
}

async function prepareAt(service: Service, name: string, config: string, address: Address): Promise<void> {
  const { prepare } = service.options
  const run = typeof prepare === 'function' ? prepare : prepare?.run
  if (run === undefined) return
  const directory = dirname(config)
  const sh = shellIn(directory, address.exports, AbortSignal.timeout(10 * 60_000))
  try {
    await run(handleOf(name, address) as never, { sh, directory })
  } catch (cause) {
    throw new MayflyError('ERR_MAYFLY_PREPARE_FAILED', `"${name}" could not be prepared on its external server: ${messageOf(cause)}`, { cause, details: { service: name } })
  }
}

/** Its facts; what only a container has says so. */
function handleOf(name: string, { host, ports, facts }: Address): object {
  const own: Readonly<Record<string, unknown>> = { host, port: (n: number): number | undefined => ports[String(n)], ...facts }
  return new Proxy({}, {
    get: (_, member) => {
      if (typeof member !== 'string' || member === 'then') return undefined
      if (member in own) return own[member]
      throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `"${name}" is an external server, which has no "${member}"`, { hint: 'Use its url, or sh`…` with the variables it exports.' })
    },
  })
}

/** What is known from the address alone. */
export function addressAt(service: Service, text: string): Address {
  const url = new URL(text)
  const preset = presetOf(service)
  const [first = Number(url.port)] = preset?.ports ?? []
  const number = Number(url.port || { 'http:': 80, 'https:': 443 }[url.protocol] || first)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = (): number => number
  // The preset names the facts there are; what it would invent is replaced by what the address says.
  const names = Object.keys(preset?.facts({ host, port }, {}) ?? { url: '' })
  const known: Readonly<Record<string, string>> = {
    url: /^https?:$/.test(url.protocol) ? text.replace(/\/$/, '') : text, bootstrap: `${host}:${String(number)}`,
    user: decodeURIComponent(url.username), password: decodeURIComponent(url.password), rootPassword: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)), accessKey: decodeURIComponent(url.username), secretKey: decodeURIComponent(url.password),
    adminUser: decodeURIComponent(url.username), adminPassword: decodeURIComponent(url.password), region: url.searchParams.get('region') ?? 'us-east-1',
  }
  const facts = Object.fromEntries(names.flatMap(name => known[name] === undefined ? [] : [[name, known[name]]]))
  const ports = { [String(first)]: number }
  return { host, ports, facts, exports: exportsFrom(service, { host, port, ...facts }) }
}

function loader(config: string, name: string, service: Service): Load {
  return async <T>(wanted: string): Promise<T> => {
    try {
      const path = createRequire(config).resolve(wanted)
      const module = await import(pathToFileURL(path).href) as { default?: T } & T
      return module.default ?? module
    } catch (cause) {
      const [pack = wanted] = wanted.split('/')
      throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `"${name}" is an external ${String(service.preset)} server: that takes the package ${pack} in your project`, { cause, hint: `npm install --save-dev ${pack}` })
    }
  }
}

function unreachable(name: string, url: URL, cause: unknown): unknown {
  if (isMayflyError(cause)) return cause
  return new MayflyError('ERR_MAYFLY_NOT_STARTED', `The external server of "${name}" at ${url.host} cannot be used: ${messageOf(cause)}`, {
    cause, hint: 'No container stands in for it while `external` or its variable is set.',
  })
}
