import type { NetworkListing } from '@mayfly/core/engine'

import { ask } from '../keeper.js'
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

export async function create(name: string, { internal, label = [] }: { readonly internal?: boolean, readonly label?: readonly string[] }): Promise<void> {
  const labels = Object.fromEntries(label.map((text) => [text.split('=', 1)[0] ?? '', text.includes('=') ? text.slice(text.indexOf('=') + 1) : '']))
  const id = await ask({ do: 'network', request: { act: 'create', options: { name, internal: internal === true, labels } } }, { start: true })
  process.stdout.write(`${String(id)}\n`)
}

export async function ls({ quiet, trunc, format }: { readonly quiet?: boolean, readonly trunc: boolean, readonly format?: string }): Promise<void> {
  const rows = (await list()).map((one): Row => ({
    ID: trunc ? one.id.slice(0, 12) : one.id, Name: one.name, Driver: 'bridge', Scope: 'local', Internal: String(one.internal),
    Labels: Object.entries(one.labels).map(([name, value]) => `${name}=${value}`).join(','), CreatedAt: one.createdAt,
  }))
  process.stdout.write(formatList(rows, { columns, format, quiet: quiet === true ? 'ID' : undefined }))
}

export async function inspect(names: readonly string[], { format }: { readonly format?: string }): Promise<void> {
  const all = await list()
  const found = names.map((which) => {
    const one = all.find(({ id, name }) => id === which || name === which) ?? all.find(({ id }) => which.length >= 4 && id.startsWith(which))
    if (one === undefined) throw Object.assign(new Error(`No such network: ${which}`), { code: 'ERR_MAYFLY_NETWORK_NOT_FOUND' })
    return document(one)
  })
  process.stdout.write(formatInspect(found, format))
}

export async function rm(names: readonly string[]): Promise<void> {
  for (const network of names) {
    const name = await ask({ do: 'network', request: { act: 'remove', network } })
    if (name === undefined) throw Object.assign(new Error(`No such network: ${network}`), { code: 'ERR_MAYFLY_NETWORK_NOT_FOUND' })
    process.stdout.write(`${String(name)}\n`)
  }
}

export async function prune(): Promise<void> {
  const gone = (await ask({ do: 'network', request: { act: 'prune' } }) ?? []) as readonly string[]
  if (gone.length > 0) process.stdout.write(`Deleted Networks:\n${gone.map((name) => `${name}\n`).join('')}`)
}

export async function connect(network: string, container: string, { alias = [] }: { readonly alias?: readonly string[] }): Promise<void> {
  await ask({ do: 'network', request: { act: 'connect', network, container, options: { aliases: alias } } }, { start: true })
}

export async function disconnect(network: string, container: string): Promise<void> {
  await ask({ do: 'network', request: { act: 'disconnect', network, container } }, { start: true })
}

async function list(): Promise<readonly NetworkListing[]> {
  return (await ask({ do: 'network', request: { act: 'list' } }) ?? []) as readonly NetworkListing[]
}

function document({ id, name, internal, labels, createdAt, subnet, gateway, containers }: NetworkListing): object {
  return {
    Name: name, Id: id, Created: createdAt, Scope: 'local', Driver: 'bridge', Internal: internal, Labels: labels,
    IPAM: { Driver: 'default', Config: [{ Subnet: subnet, Gateway: gateway }] },
    Containers: Object.fromEntries(containers.map((one) => [one.id, { Name: one.name, IPv4Address: `${one.ip}/${subnet.split('/')[1] ?? ''}`, Aliases: one.aliases }])),
  }
}
