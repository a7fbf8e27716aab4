import type { NetworkListing } from '@mayfly/core/engine'

import { each, invalid } from '../action.js'
import { agreed } from '../agreed.js'
import { ask } from '../keeper.js'
import { labels as parseLabels } from '../run-options.js'
import { pruneCondition } from '../prune-filter.js'
import { formatInspect, formatList, type Column } from '../template/index.js'

interface Row {
  readonly ID: string
  readonly Name: string
  readonly Driver: string
  readonly Scope: string
  readonly Internal: string
  readonly Labels: string
  readonly CreatedAt: string
}

const columns: readonly Column<Row>[] = [['ID', 'NETWORK ID'], ['Name', 'NAME'], ['Driver', 'DRIVER'], ['Scope', 'SCOPE']]

interface CreateFlags {
  readonly internal?: boolean
  readonly label?: readonly string[]
  readonly driver?: string
  readonly subnet?: string
  readonly gateway?: string
  readonly ipRange?: string
}

export async function create(name: string, { internal, label = [], driver = 'bridge', subnet, gateway, ipRange }: CreateFlags): Promise<void> {
  if (driver !== 'bridge') throw invalid(`There is no network driver ${JSON.stringify(driver)}`, 'The driver is bridge.')
  const labels = parseLabels(label)
  const id = await ask({ do: 'network', request: { act: 'create', options: { name, internal: internal === true, labels, subnet, gateway, ipRange } } }, { start: true })
  process.stdout.write(`${String(id)}\n`)
}

export async function ls({ quiet, trunc, format, filter = [] }: { readonly quiet?: boolean, readonly trunc: boolean, readonly format?: string, readonly filter?: readonly string[] }): Promise<void> {
  const fits = filter.map(condition)
  const rows = (await list()).filter((one) => fits.every((fit) => fit(one))).map((one): Row => ({
    ID: trunc ? one.id.slice(0, 12) : one.id, Name: one.name, Driver: 'bridge', Scope: 'local', Internal: String(one.internal),
    Labels: Object.entries(one.labels).map(([name, value]) => `${name}=${value}`).join(','), CreatedAt: one.createdAt,
  }))
  process.stdout.write(formatList(rows, { columns, format, quiet: quiet === true ? 'ID' : undefined }))
}

export async function inspect(names: readonly string[], { format }: { readonly format?: string }): Promise<void> {
  const all = await list()
  process.stdout.write(formatInspect(names.map((which) => document(found(all, which))), format))
}

/** Throws ERR_MAYFLY_NETWORK_NOT_FOUND. */
export async function networkDocument(which: string): Promise<object> {
  return document(found(await list(), which))
}

function found(all: readonly NetworkListing[], which: string): NetworkListing {
  const named = all.filter(({ id, name }) => id === which || name === which)
  const [one, ...others] = named.length > 0 ? named : all.filter(({ id }) => which !== '' && id.startsWith(which))
  if (one !== undefined && others.length === 0) return one
  throw Object.assign(new Error(one === undefined ? `No such network: ${which}` : `${which} is the beginning of several networks' ids`), {
    code: 'ERR_MAYFLY_NETWORK_NOT_FOUND', hint: one === undefined ? 'mayfly network ls lists them.' : 'Give more of the id.',
  })
}

/** All that can be removed are; the rest is told. */
export async function rm(names: readonly string[], { force }: { readonly force?: boolean }): Promise<void> {
  const known = await list()
  await each(names, async (network) => {
    if (!known.some(({ id, name }) => name === network || (network.length >= 4 && id.startsWith(network)))) {
      if (force === true) return undefined
      throw Object.assign(new Error(`No such network: ${network}`), { code: 'ERR_MAYFLY_NETWORK_NOT_FOUND' })
    }
    return String(await ask({ do: 'network', request: { act: 'remove', network } }))
  })
}

/** Removes networks without containers. */
export async function prune({ force, filter = [] }: { readonly force?: boolean, readonly filter?: readonly string[] }): Promise<void> {
  if (filter.length > 0) {
    const now = Date.now()
    const fits = filter.map((text) => pruneCondition(text, now))
    if (!await agreed('the custom networks that fit and that no container uses', force)) return
    const idle = (await list()).filter((one) => one.containers.length === 0 && fits.every((fit) => fit({ createdAt: new Date(one.createdAt), labels: one.labels })))
    if (idle.length === 0) return
    process.stdout.write('Deleted Networks:\n')
    return each(idle.map(({ name }) => name), async (network) => String(await ask({ do: 'network', request: { act: 'remove', network } })))
  }
  if (!await agreed('all custom networks that no container uses', force)) return
  const gone = (await ask({ do: 'network', request: { act: 'prune' } }) ?? []) as readonly string[]
  if (gone.length > 0) process.stdout.write(`Deleted Networks:\n${gone.map((name) => `${name}\n`).join('')}`)
}

export async function connect(network: string, container: string, { alias = [], ip }: { readonly alias?: readonly string[], readonly ip?: string }): Promise<void> {
  await ask({ do: 'network', request: { act: 'connect', network, container, options: { aliases: alias, ip } } }, { start: true })
}

export async function disconnect(network: string, container: string): Promise<void> {
  await ask({ do: 'network', request: { act: 'disconnect', network, container } }, { start: true })
}

function condition(text: string): (one: NetworkListing) => boolean {
  const [kind = '', value = ''] = text.split(/=(.*)/s)
  if (kind === 'id') return ({ id }) => id.startsWith(value)
  if (kind === 'name') return ({ name }) => name.includes(value)
  if (kind === 'driver') return () => value === 'bridge'
  if (kind === 'scope') return () => value === 'local'
  if (kind === 'type' && (value === 'custom' || value === 'builtin')) return () => value === 'custom'
  if (kind === 'dangling' && /^(?:true|false|1|0)$/.test(value)) return ({ containers }) => (containers.length === 0) === /^(?:true|1)$/.test(value)
  if (kind === 'label') {
    const [label = '', wanted] = value.split(/=(.*)/s)
    return ({ labels }) => label in labels && (wanted === undefined || labels[label] === wanted)
  }
  throw invalid(`Invalid filter ${JSON.stringify(text)}`, 'Filters are id=…, name=…, label=NAME[=VALUE], driver=bridge, scope=local, type=custom and dangling=true.')
}

async function list(): Promise<readonly NetworkListing[]> {
  return (await ask({ do: 'network', request: { act: 'list' } }) ?? []) as readonly NetworkListing[]
}

function document({ id, name, internal, labels, createdAt, subnet, gateway, ipRange, containers }: NetworkListing): object {
  return {
    Name: name, Id: id, Created: createdAt, Scope: 'local', Driver: 'bridge', Internal: internal, Labels: labels,
    IPAM: { Driver: 'default', Config: [{ Subnet: subnet, ...(ipRange === undefined ? {} : { IPRange: ipRange }), Gateway: gateway }] },
    Containers: Object.fromEntries(containers.map((one) => [one.id, { Name: one.name, IPv4Address: `${one.ip}/${subnet.split('/')[1] ?? ''}`, Aliases: one.aliases }])),
  }
}
