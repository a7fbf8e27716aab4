import type { StoreUsage } from '@mayfly/core/engine'

import { humanSize } from '../size.js'
import { table } from '../table.js'
import { formatList } from '../template/index.js'
import { since } from './images.js'

/** Shows what the store takes of the disk, with Docker's columns. */
export async function df({ verbose, format }: { readonly verbose?: boolean, readonly format?: string }): Promise<void> {
  const { listContainers, openStore, storeUsage } = await import('@mayfly/core/engine')
  const [usage, containers] = [await storeUsage(await openStore()), await listContainers()]
  if (verbose === true) return void process.stdout.write(await details(usage, containers))
  const idle = usage.images.filter(({ active }) => !active)
  const row = (Type: string, total: number, active: number, size: number, reclaimable: number): Row => ({
    Type, TotalCount: String(total), Active: String(active), Size: humanSize(size),
    Reclaimable: size === 0 || reclaimable === 0 ? humanSize(reclaimable) : `${humanSize(reclaimable)} (${Math.round(100 * reclaimable / size)}%)`,
  })
  const unused = usage.snapshots.filter(({ active }) => !active)
  const rows = [
    row('Images', usage.images.length, usage.images.length - idle.length, usage.imageBytes, idle.length === usage.images.length ? usage.imageBytes : sum(idle.map(({ unique }) => unique))),
    row('Containers', containers.length, containers.filter(({ state }) => state === 'running').length, usage.runs, 0),
    row('Snapshots', usage.snapshots.length, usage.snapshots.length - unused.length, sum(usage.snapshots.map(({ bytes }) => bytes)), sum(unused.map(({ bytes }) => bytes))),
    row('Garbage', 0, 0, usage.garbage, usage.garbage),
  ]
  process.stdout.write(formatList(rows, {
    columns: [['Type', 'TYPE'], ['TotalCount', 'TOTAL'], ['Active', 'ACTIVE'], ['Size', 'SIZE'], ['Reclaimable', 'RECLAIMABLE']], format,
  }))
}

interface Row {
  readonly Type: string
  readonly TotalCount: string
  readonly Active: string
  readonly Size: string
  readonly Reclaimable: string
}

async function details({ images, snapshots }: StoreUsage, containers: readonly { readonly imageId: string }[]): Promise<string> {
  const { isUnnamed, repositoryOf, withTag } = await import('@mayfly/core/engine')
  const now = Date.now()
  const imageRows = images.flatMap(({ image, shared, unique }) => image.names.map(({ reference }) => {
    const none = isUnnamed(reference)
    const repository = repositoryOf(reference.familiar)
    return [
      none ? '<none>' : repository, none || reference.digest !== undefined ? '<none>' : withTag(reference.familiar).slice(repository.length + 1),
      image.id.slice(7, 19), since(image.created, now), humanSize(shared + unique), humanSize(shared), humanSize(unique),
      String(containers.filter(({ imageId }) => imageId === image.id).length),
    ]
  }))
  const snapshotRows = snapshots.map(({ key, label, createdAt, bytes, active }) => [key.slice(0, 24), since(createdAt, now), humanSize(bytes), active ? 'yes' : '', label])
  return `Images space usage:\n\n${table(['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE', 'SHARED SIZE', 'UNIQUE SIZE', 'CONTAINERS'], imageRows)}`
    + `\nSnapshots space usage:\n\n${table(['KEY', 'CREATED', 'SIZE', 'IN USE', 'LABEL'], snapshotRows)}`
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}
