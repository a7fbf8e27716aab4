import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

import { MayflyError } from '../errors.js'
import { discardSnapshot, findSnapshot, listSnapshots, openStore, placeSnapshot, trimSnapshots, type Image, type StoredSnapshot } from '../images/index.js'
import { clearTraces } from './hygiene.js'
import { listContainers } from './runs.js'
import { parseSize } from '../units.js'
import type { Container, RunOptions, Snapshot, SnapshotInfo, SnapshotOptions } from './types.js'

/** Containers started from a snapshot carry its key under this label. */
export const SNAPSHOT_LABEL = 'mayfly.snapshot'

/** Bytes: what a copy can at most change of a smaller one stays in memory, where making and removing files takes half the time. */
const SMALL = 64 * 2 ** 20

type Start = (image: Image, options: RunOptions) => Promise<Container>

/** What a stopped container's changes are made a snapshot from. */
export interface Stopped {
  readonly image: Image
  readonly options: RunOptions
  /** A directory with its changes. */
  readonly scratch: string
}

/** Keeps a stopped container's files. Its scratch directory is empty afterwards. */
export async function keepSnapshot({ image, options, scratch }: Stopped, { key, label, clear }: SnapshotOptions, start: Start): Promise<Snapshot> {
  const upper = join(scratch, 'upper')
  await clearTraces(upper, clear)
  const cap = snapshotCap()
  const stored = await placeSnapshot(await openStore(), key ?? randomBytes(16).toString('hex'), upper, image, label ?? '')
  // Nobody waits for old ones to go.
  trim(cap).catch(() => undefined)
  return snapshotOf(stored, options, start)
}

/** Bytes that all snapshots may take: MAYFLY_SNAPSHOTS, such as `5g`. Default 20 GiB. Throws ERR_MAYFLY_OPTION_INVALID. */
export function snapshotCap(environment: NodeJS.ProcessEnv = process.env): number {
  const text = environment['MAYFLY_SNAPSHOTS']
  return text === undefined || text === '' ? 20 * 2 ** 30 : parseSize(text)
}

async function trim(cap: number): Promise<void> {
  const used = (await listContainers()).flatMap(({ labels, state }) => (state === 'exited' ? [] : [labels[SNAPSHOT_LABEL] ?? '']))
  await trimSnapshots(await openStore(), { cap, used: new Set(used) })
}

/** A snapshot that an earlier process kept, or undefined. `options` are what its containers run with. */
export async function openSnapshot(key: string, options: RunOptions, start: Start): Promise<Snapshot | undefined> {
  const stored = await findSnapshot(await openStore(), key)
  return stored === undefined ? undefined : snapshotOf(stored, options, start)
}

/** The snapshots of the store, newest first. */
export async function snapshots(): Promise<SnapshotInfo[]> {
  return (await listSnapshots(await openStore())).map(infoOf)
}

/** Deletes a snapshot. Throws ERR_MAYFLY_STORE_BUSY while containers run from it. */
export async function removeSnapshot(key: string): Promise<void> {
  const users = (await listContainers()).filter(({ labels, state }) => labels[SNAPSHOT_LABEL] === key && state !== 'exited')
  if (users.length > 0) {
    throw new MayflyError('ERR_MAYFLY_STORE_BUSY', `The snapshot ${key} is in use by ${users.map(({ name }) => name).join(', ')}`, { hint: 'Stop them first.' })
  }
  await discardSnapshot(await openStore(), key)
}

function snapshotOf(stored: StoredSnapshot, from: RunOptions, start: Start): Snapshot {
  const remove = (): Promise<void> => removeSnapshot(stored.key)
  // What was one container's alone is not its clones': a name, an address on the host.
  const { name: _name, signal: _signal, ports, ...shared } = from
  const freed = ports === undefined ? {} : { ports: ports.map(port => (typeof port === 'object' ? { ...port, host: undefined } : port)) }
  return {
    ...infoOf(stored),
    run: (options = {}) => start(stored.image, {
      ...(stored.size > SMALL ? { scratch: 'disk' } : {}), ...shared, ...freed, ...options,
      env: { ...shared.env, ...options.env },
      labels: { ...shared.labels, ...options.labels, [SNAPSHOT_LABEL]: stored.key },
    }),
    remove,
    [Symbol.asyncDispose]: remove,
  }
}

function infoOf({ key, label, image, createdAt, size }: StoredSnapshot): SnapshotInfo {
  return { key, label, image: image.reference.familiar, createdAt, size }
}
