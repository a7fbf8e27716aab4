import { createVolume, formatSize, listVolumes, pruneVolumes, removeVolume, usersOf, type VolumeRecord } from '@mayfly/core/engine'

import { agreed } from '../agreed.js'
import { pruneCondition } from '../prune-filter.js'
import { report } from '../report.js'
import { formatInspect, formatList, type Column } from '../template/index.js'

interface Row {
  readonly Driver: string
  readonly Name: string
  readonly Labels: string
  readonly Mountpoint: string
  readonly Scope: string
}

const columns: readonly Column<Row>[] = [['Driver', 'DRIVER'], ['Name', 'VOLUME NAME']]

export async function create(name: string | undefined, { label = [], driver = 'local' }: { readonly label?: readonly string[], readonly driver?: string }): Promise<void> {
  if (driver !== 'local') throw Object.assign(new Error(`There is no driver ${JSON.stringify(driver)}`), { code: 'ERR_MAYFLY_OPTION_INVALID', hint: 'The driver is local.' })
  const labels = Object.fromEntries(label.map((text) => [text.split('=', 1)[0] ?? '', text.includes('=') ? text.slice(text.indexOf('=') + 1) : '']))
  process.stdout.write(`${(await createVolume({ name, labels })).name}\n`)
}

export async function ls({ quiet, filter = [], format }: { readonly quiet?: boolean, readonly filter?: readonly string[], readonly format?: string }): Promise<void> {
  const fits = filter.map(parseFilter)
  const rows: Row[] = []
  for (const one of await listVolumes()) {
    if (!(await Promise.all(fits.map((fit) => fit(one)))).every(Boolean)) continue
    rows.push({ Driver: 'local', Name: one.name, Labels: Object.entries(one.labels).map(([name, value]) => `${name}=${value}`).join(','), Mountpoint: one.directory, Scope: 'local' })
  }
  process.stdout.write(formatList(rows, { columns, format, quiet: quiet === true ? 'Name' : undefined }))
}

export async function inspect(names: readonly string[], { format }: { readonly format?: string }): Promise<void> {
  process.stdout.write(formatInspect(await Promise.all(names.map(volumeDocument)), format))
}

/** Throws ERR_MAYFLY_VOLUME_NOT_FOUND. */
export async function volumeDocument(which: string): Promise<object> {
  const one = (await listVolumes()).find(({ name }) => name === which)
  if (one === undefined) throw Object.assign(new Error(`No such volume: ${which}`), { code: 'ERR_MAYFLY_VOLUME_NOT_FOUND', hint: 'mayfly volume ls lists them.' })
  return { CreatedAt: one.createdAt.toISOString(), Driver: 'local', Labels: one.labels, Mountpoint: one.directory, Name: one.name, Options: null, Scope: 'local' }
}

/** All that can be removed are; the rest is told. */
export async function rm(names: readonly string[], { force }: { readonly force?: boolean }): Promise<void> {
  for (const name of names) {
    try {
      process.stdout.write(`${await removeVolume(name)}\n`)
    } catch (error) {
      if (force === true && (error as { code?: unknown }).code === 'ERR_MAYFLY_VOLUME_NOT_FOUND') continue
      report(error)
      process.exitCode = 1
    }
  }
}

/** Asks first, as Docker does. */
export async function prune({ all, force, filter = [] }: { readonly all?: boolean, readonly force?: boolean, readonly filter?: readonly string[] }): Promise<void> {
  const fits = filter.map((text) => pruneCondition(text, Date.now()))
  if (!await agreed(all === true ? 'all volumes that no container has' : 'all volumes without a name that no container has', force)) return
  const { names, bytes } = await pruneVolumes({ all: all === true, filter: (one) => fits.every((fit) => fit(one)) })
  if (names.length > 0) process.stdout.write(`Deleted Volumes:\n${names.map((name) => `${name}\n`).join('')}\n`)
  process.stdout.write(`Total reclaimed space: ${formatSize(bytes)}\n`)
}

function parseFilter(text: string): (one: VolumeRecord) => boolean | Promise<boolean> {
  const [kind = '', value = ''] = text.split(/=(.*)/s)
  if (kind === 'name') return ({ name }) => name.includes(value)
  if (kind === 'driver') return () => value === 'local'
  if (kind === 'dangling' && /^(?:true|false|1|0)$/.test(value)) return async ({ name }) => ((await usersOf(name)).length === 0) === /^(?:true|1)$/.test(value)
  if (kind === 'label') {
    const [label = '', wanted] = value.split(/=(.*)/s)
    return ({ labels }) => label in labels && (wanted === undefined || labels[label] === wanted)
  }
  throw Object.assign(new Error(`Invalid filter ${JSON.stringify(text)}`), { code: 'ERR_MAYFLY_OPTION_INVALID', hint: 'Filters are dangling=true, name=TEXT, label=NAME[=VALUE] and driver=local.' })
}
