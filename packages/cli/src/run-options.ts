import type { RunOptions } from '@mayfly/core'

import { invalid } from './action.js'
import { limitOptions } from './limit-flags.js'
import { mountOptions } from './mounts.js'
import type { RunFlags } from './run-flags.js'
import { ownSize } from './session.js'
import { parseDuration } from './time.js'
import { variables } from './variables.js'

type Mode = 'private' | 'host' | `container:${string}`

/** The options of the library that the flags ask for. Throws ERR_MAYFLY_OPTION_INVALID. */
export function runOptions(words: readonly string[], flags: RunFlags): RunOptions {
  const { publish, publishAll, entrypoint } = flags
  const where = mode(flags)
  const ports = [...publish ?? [], ...flags.expose ?? []]
  return without({
    command: words.length > 0 ? words : undefined,
    entrypoint: entrypoint === undefined ? undefined : entrypoint === '' ? [] : [entrypoint],
    env: flags.env === undefined && flags.envFile === undefined ? undefined : variables(flags.env, flags.envFile),
    labels: flags.label === undefined && flags.labelFile === undefined ? undefined : labels(flags.label, flags.labelFile),
    ports: ports.length === 0 ? undefined : ports,
    // Docker's users look for published ports on the host itself.
    loopback: publish === undefined && publishAll !== true ? undefined : true,
    network: where, ...addressing(flags),
    extraHosts: flags.addHost === undefined ? undefined : Object.fromEntries(flags.addHost.map(host)),
    dns: flags.dns, dnsSearch: flags.dnsSearch, dnsOptions: flags.dnsOption,
    ...mountOptions(flags),
    readonly: flags.readOnly, init: flags.init, privileged: flags.privileged, capAdd: flags.capAdd, capDrop: flags.capDrop, ...security(flags.securityOpt),
    ...limitOptions(flags), shmSize: flags.shmSize, oomScoreAdj: flags.oomScoreAdj,
    ulimits: flags.ulimit === undefined ? undefined : Object.fromEntries(flags.ulimit.map(ulimit)),
    sysctls: flags.sysctl === undefined ? undefined : Object.fromEntries(flags.sysctl.map((text) => pair('sysctl', text))),
    devices: flags.device, groupAdd: flags.groupAdd, user: flags.user, workdir: flags.workdir,
    name: flags.name, hostname: flags.hostname, domainname: flags.domainname,
    ipc: namespace('ipc', flags.ipc === 'shareable' ? 'private' : flags.ipc), pid: namespace('pid', flags.pid), uts: namespace('uts', flags.uts),
    stopSignal: flags.stopSignal, healthcheck: healthcheck(flags),
    stdin: flags.interactive, tty: flags.tty === true ? ownSize() ?? true : undefined, platform: flags.platform, pull: flags.pull,
  })
}

/** Docker's own network is the one that containers are on without a word. */
export function networks(flags: RunFlags): readonly string[] {
  return mode(flags) === undefined ? given(flags).filter((one) => one !== 'bridge' && one !== 'default') : []
}

function given(flags: RunFlags): readonly string[] {
  return endpoints(flags).map(({ name }) => name)
}

interface Endpoint {
  readonly name: string
  readonly aliases: readonly string[]
  readonly ip?: string | undefined
}

/** `NETWORK`, or `name=NETWORK,alias=NAME,ip=ADDRESS`. */
function endpoints({ network = [], net = [] }: Pick<RunFlags, 'network' | 'net'>): readonly Endpoint[] {
  return [...network, ...net].map((text): Endpoint => {
    if (!text.includes('=')) return { name: text, aliases: [] }
    const fields = text.split(',').map((field) => pair('network', field))
    const odd = fields.find(([name]) => !['name', 'alias', 'ip'].includes(name))
    const [name] = valuesOf(fields, 'name')
    if (odd === undefined && name !== undefined) return { name, aliases: valuesOf(fields, 'alias'), ip: valuesOf(fields, 'ip')[0] }
    throw invalid(`Invalid --network ${JSON.stringify(text)}${odd === undefined ? '' : `: there is no ${JSON.stringify(odd[0])}`}`, 'Give NETWORK, or name=NETWORK,alias=NAME,ip=ADDRESS.')
  })
}

function valuesOf(fields: readonly (readonly [string, string])[], wanted: string): readonly string[] {
  return fields.filter(([name]) => name === wanted).map(([, value]) => value)
}

/** Names are the same on all its networks, a chosen address is on the first. */
function addressing(flags: RunFlags): Pick<RunOptions, 'aliases' | 'ip'> {
  const all = endpoints(flags)
  const later = all.slice(1).find(({ ip }) => ip !== undefined)
  if (later !== undefined) throw invalid(`--network ${later.name}: an address is chosen on the first network alone`, `Afterwards: mayfly network connect --ip ${later.ip ?? ''} ${later.name} CONTAINER`)
  const aliases = [...flags.networkAlias ?? [], ...all.flatMap((one) => one.aliases)]
  return { aliases: aliases.length === 0 ? undefined : aliases, ip: flags.ip ?? all[0]?.ip }
}

/** `none`, `host` and `container:NAME` are no networks but what a container has instead. */
function mode(flags: RunFlags): 'none' | 'host' | `container:${string}` | undefined {
  const all = given(flags)
  const found = all.find((one): one is 'none' | 'host' | `container:${string}` => one === 'none' || one === 'host' || one.startsWith('container:'))
  if (found === undefined || all.length === 1) return found
  throw invalid(`--network ${found} and another network contradict each other`, 'Leave one of them out.')
}

function namespace(name: string, text: string | undefined): Mode | undefined {
  if (text === undefined || text === '') return undefined
  if (text === 'private' || text === 'host' || /^container:./.test(text)) return text as Mode
  throw invalid(`Invalid --${name} ${JSON.stringify(text)}`, 'Give private, host or container:NAME.')
}

/** `NAME:ADDRESS`, or `NAME=ADDRESS`; the address of IPv6 has colons of its own. */
function host(text: string): [string, string] {
  const at = text.search(/[:=]/)
  if (at < 1) throw invalid(`Invalid host ${JSON.stringify(text)}`, 'Give NAME:ADDRESS, such as api:192.0.2.7 or me:host-gateway.')
  return [text.slice(0, at), text.slice(at + 1).replace(/^\[(.*)\]$/, '$1')]
}

/** A label without a value has an empty one. */
export function labels(texts: readonly string[] = [], files: readonly string[] = []): Record<string, string> {
  return { ...variables([], files), ...Object.fromEntries(texts.map((text) => (text.includes('=') ? pair('label', text) : [text, '']))) }
}

function pair(what: string, text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw invalid(`Invalid ${what} ${JSON.stringify(text)}`, 'Give NAME=VALUE.')
  return [text.slice(0, at), text.slice(at + 1)]
}

/** `NAME=SOFT[:HARD]`; one number is both. */
function ulimit(text: string): [string, { readonly soft: number, readonly hard: number }] {
  const [name, value] = pair('ulimit', text)
  const [soft = Number.NaN, hard = soft, ...rest] = value.split(':').map(Number)
  if (rest.length > 0 || !Number.isInteger(soft) || !Number.isInteger(hard)) throw invalid(`Invalid ulimit ${JSON.stringify(text)}`, 'Give NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024:2048; -1 is no limit.')
  return [name, { soft, hard }]
}

function security(texts: readonly string[] = []): Pick<RunOptions, 'seccomp' | 'noNewPrivileges'> {
  let options: Pick<RunOptions, 'seccomp' | 'noNewPrivileges'> = {}
  for (const text of texts) {
    const [name = '', value = ''] = text.split(/[=:](.*)/s)
    if (name === 'no-new-privileges' && (value === '' || value === 'true' || value === 'false')) options = { ...options, noNewPrivileges: value !== 'false' }
    else if (name === 'seccomp' && value !== '') options = { ...options, seccomp: value === 'builtin' ? 'default' : value }
    // There are no profiles that these would turn off.
    else if (!(name === 'apparmor' && value === 'unconfined') && !(name === 'label' && value === 'disable')) {
      throw invalid(`Invalid security option ${JSON.stringify(text)}`, 'There are no-new-privileges, seccomp=unconfined and seccomp=FILE.')
    }
  }
  return options
}

/** What is left out, or 0, is the image's. */
function healthcheck(flags: RunFlags): RunOptions['healthcheck'] {
  const time = (text: string | undefined): number | undefined => (text === undefined ? undefined : parseDuration(text) || undefined)
  const settings = without({
    test: flags.healthCmd, interval: time(flags.healthInterval), timeout: time(flags.healthTimeout), retries: flags.healthRetries === 0 ? undefined : flags.healthRetries,
    startInterval: time(flags.healthStartInterval), startPeriod: time(flags.healthStartPeriod),
  })
  const given = Object.keys(settings).length > 0
  if (flags.healthcheck !== false) return given ? settings : undefined
  if (given) throw invalid('--no-healthcheck and the other --health-* options contradict each other', 'Leave one of them out.')
  return { disable: true }
}

function without<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}
