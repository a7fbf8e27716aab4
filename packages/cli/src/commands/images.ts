import type { StoredImage, StoredName } from '@mayfly/core/engine'

import { humanSize } from '../size.js'
import { elapsed } from '../table.js'
import { formatList, type Column } from '../template/index.js'

export interface ImagesOptions {
  readonly quiet?: boolean
  readonly digests?: boolean
  readonly trunc: boolean
  readonly filter?: readonly string[]
  readonly format?: string
}

interface Row {
  readonly Repository: string
  readonly Tag: string
  readonly Digest: string
  readonly ID: string
  readonly CreatedSince: string
  readonly CreatedAt: string
  readonly Size: string
  readonly Containers: string
  readonly SharedSize: string
  readonly UniqueSize: string
  readonly VirtualSize: string
  readonly PulledAt: string
}

/** Lists the images of the store, with Docker's columns. */
export async function images(wanted: string | undefined, { quiet, digests, trunc, filter = [], format }: ImagesOptions): Promise<void> {
  const { imageFilter, isUnnamed, listCatalog, openStore, repositoryOf, withTag } = await import('@mayfly/core/engine')
  const all = await listCatalog(await openStore())
  const now = Date.now()
  const fits = imageFilter(filter, all, now)
  const pattern = wanted === undefined ? undefined : imageFilter([`reference=${wanted}`], all, now)
  const rows = all.filter(fits).flatMap((image) => image.names
    .filter((name) => pattern === undefined || pattern({ ...image, names: [name] }))
    .map((name): Row => {
      const none = isUnnamed(name.reference)
      const { familiar } = name.reference
      return {
        ...common(image, name, trunc, now),
        Repository: none ? '<none>' : repositoryOf(familiar),
        Tag: none || familiar.includes('@') ? '<none>' : withTag(familiar).slice(repositoryOf(familiar).length + 1),
        Digest: none ? '<none>' : name.digest,
      }
    }))
  const columns: readonly Column<Row>[] = [
    ['Repository', 'REPOSITORY'], ['Tag', 'TAG'], ...(digests === true ? [['Digest', 'DIGEST'] as const] : []),
    ['ID', 'IMAGE ID'], ['CreatedSince', 'CREATED'], ['Size', 'SIZE'],
  ]
  const heads = { Digest: 'DIGEST', CreatedAt: 'CREATED AT', SharedSize: 'SHARED SIZE', UniqueSize: 'UNIQUE SIZE', PulledAt: 'PULLED AT' }
  const shown = quiet === true ? [...new Map(rows.map((row) => [row.ID, row])).values()] : rows
  process.stdout.write(formatList(shown, { columns, heads, format, quiet: quiet === true ? 'ID' : undefined }))
}

function common({ id, created, size }: StoredImage, { pulledAt }: StoredName, trunc: boolean, now: number): Omit<Row, 'Repository' | 'Tag' | 'Digest'> {
  return {
    ID: trunc ? id.slice(7, 19) : id,
    CreatedSince: since(created, now),
    CreatedAt: created === undefined ? 'N/A' : clock(created),
    Size: humanSize(size),
    Containers: 'N/A',
    SharedSize: 'N/A',
    UniqueSize: 'N/A',
    VirtualSize: humanSize(size),
    PulledAt: clock(new Date(pulledAt)),
  }
}

/** `3 weeks ago`. */
export function since(date: Date | undefined, now: number): string {
  return date === undefined ? 'N/A' : `${elapsed(date.getTime(), now)} ago`
}

/** As Go writes a time. */
export function clock(date: Date): string {
  return `${date.toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`
}
