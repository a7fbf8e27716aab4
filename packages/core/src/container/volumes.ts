import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { MayflyError } from '../errors.js'
import { claimHome, defaultHome } from '../images/store.js'
import { removeTree } from '../layers/index.js'
import { noteNow } from './journal.js'
import type { Volume, VolumeOptions } from './types.js'

const NAME = /^[a-zA-Z0-9][\w.-]{0,127}$/
const RECORD = 'volume.json'
const DATA = '_data'

/** A volume of this user's store, as it is kept. */
export interface VolumeRecord {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt: Date
  /** Where its files lie. */
  readonly directory: string
  /** Nobody named it. */
  readonly anonymous: boolean
}

/** See `volume`. */
export async function createVolume({ name, labels = {} }: VolumeOptions = {}): Promise<Volume> {
  const record = await keepVolume(name ?? randomBytes(32).toString('hex'), { labels, anonymous: name === undefined })
  const remove = async (): Promise<void> => void await removeVolume(record.name)
  return {
    ...record, remove,
    [Symbol.asyncDispose]: async () => { if (record.anonymous) await remove() },
  }
}

/** The volume of this name, made when there is none. Throws ERR_MAYFLY_OPTION_INVALID. */
export async function keepVolume(name: string, { labels = {}, anonymous = false }: { readonly labels?: Readonly<Record<string, string>>; readonly anonymous?: boolean } = {}): Promise<VolumeRecord> {
  if (!NAME.test(name)) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid volume ${JSON.stringify(name)}: a name has letters, digits, dots, hyphens and underscores, the first a letter or digit`, { details: { option: 'volume' } })
  }
  const volumes = join(claimHome(), 'volumes')
  const found = await readVolume(volumes, name)
  if (found !== undefined) return found
  // Whole before it has its name: who comes second finds it.
  await mkdir(volumes, { recursive: true, mode: 0o700 })
  const made = join(volumes, `.${randomBytes(8).toString('hex')}`)
  await mkdir(made, { mode: 0o711 })
  await mkdir(join(made, DATA), { mode: 0o755 })
  await writeFile(join(made, RECORD), JSON.stringify({ labels, createdAt: new Date().toISOString(), anonymous }), { mode: 0o600 })
  try {
    await rename(made, join(volumes, name))
    noteVolume('create', name)
  } catch (error) {
    await rm(made, { recursive: true, force: true })
    if (!['EEXIST', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
  const record = await readVolume(volumes, name)
  if (record !== undefined) return record
  throw new MayflyError('ERR_MAYFLY_STORE_FAILED', `The volume ${name} cannot be made`)
}

/** Sorted by name. */
export async function listVolumes(home: string = defaultHome()): Promise<VolumeRecord[]> {
  const volumes = join(home, 'volumes')
  const names = (await readdir(volumes).catch(() => [])).filter((name) => NAME.test(name)).sort()
  return (await Promise.all(names.map((name) => readVolume(volumes, name)))).filter((one) => one !== undefined)
}

/** Ids of the containers that have it, of any run of this user. */
export async function usersOf(name: string): Promise<string[]> {
  const { listContainers } = await import('./runs.js')
  return (await listContainers()).filter(({ volumes }) => volumes.includes(name)).map(({ id }) => id)
}

/** Throws ERR_MAYFLY_VOLUME_NOT_FOUND, ERR_MAYFLY_VOLUME_IN_USE. */
export async function removeVolume(name: string): Promise<string> {
  const home = defaultHome()
  if (await readVolume(join(home, 'volumes'), name) === undefined) throw new MayflyError('ERR_MAYFLY_VOLUME_NOT_FOUND', `No such volume: ${name}`, { details: { volume: name } })
  const users = await usersOf(name)
  if (users.length > 0) {
    throw new MayflyError('ERR_MAYFLY_VOLUME_IN_USE', `The volume ${name} is in use by ${users.map((id) => id.slice(0, 12)).join(', ')}`, { hint: 'Stop those containers first.', details: { volume: name, containers: users } })
  }
  // Gone by name first, so that nobody meets half of one.
  const aside = join(home, 'volumes', `.${randomBytes(8).toString('hex')}`)
  await rename(join(home, 'volumes', name), aside)
  noteVolume('destroy', name)
  await removeTree(aside)
  return name
}

/** Removes volumes that no container has: those that nobody named, or all. Answers their names and bytes. */
export async function pruneVolumes({ all = false, filter = () => true }: { readonly all?: boolean; readonly filter?: (one: VolumeRecord) => boolean } = {}): Promise<{ readonly names: readonly string[]; readonly bytes: number }> {
  const names: string[] = []
  let bytes = 0
  for (const one of await listVolumes()) {
    const { name, anonymous, directory } = one
    if (!(all || anonymous) || !filter(one) || (await usersOf(name)).length > 0) continue
    bytes += await bytesIn(directory)
    names.push(await removeVolume(name))
  }
  noteVolume('prune', '', { reclaimed: String(bytes) })
  return { names, bytes }
}

function noteVolume(action: 'create' | 'destroy' | 'prune', id: string, attributes: Readonly<Record<string, string>> = { driver: 'local' }): void {
  noteNow(defaultHome(), { type: 'volume', action, id, attributes })
}

async function readVolume(volumes: string, name: string): Promise<VolumeRecord | undefined> {
  try {
    const { labels = {}, createdAt, anonymous = false } = JSON.parse(await readFile(join(volumes, name, RECORD), 'utf8')) as { labels?: Record<string, string>; createdAt: string; anonymous?: boolean }
    return { name, labels, createdAt: new Date(createdAt), anonymous, directory: join(volumes, name, DATA) }
  } catch {
    return undefined
  }
}

/** What cannot be looked into counts for nothing. */
async function bytesIn(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => [])
  const sizes = await Promise.all(entries.map((one) => one.isFile() ? stat(join(one.parentPath, one.name)).then(({ size }) => size, () => 0) : 0))
  return sizes.reduce((sum, size) => sum + size, 0)
}
