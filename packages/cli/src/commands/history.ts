import { humanSize } from '../size.js'
import { formatList } from '../template/index.js'
import { since } from './images.js'

export interface HistoryOptions {
  readonly quiet?: boolean
  readonly trunc: boolean
  readonly human: boolean
  readonly format?: string
}

/** Shows how an image was made, with Docker's columns. */
export async function history(name: string, { quiet, trunc, human, format }: HistoryOptions): Promise<void> {
  const { chooseImage, imageHistory, listCatalog, openStore } = await import('@mayfly/core/engine')
  const store = await openStore()
  const steps = await imageHistory(store, chooseImage(await listCatalog(store), name).image)
  const now = Date.now()
  const rows = steps.map(({ id, created, createdBy, size, comment }) => ({
    ID: id === undefined ? '<missing>' : trunc ? id.slice(7, 19) : id,
    CreatedSince: human ? since(created, now) : created?.toISOString().replace(/\.\d+Z$/, 'Z') ?? '',
    CreatedAt: created?.toISOString().replace(/\.\d+Z$/, 'Z') ?? '',
    CreatedBy: cut(createdBy.replaceAll(/[\t\n]/g, ' '), trunc ? 45 : Number.POSITIVE_INFINITY),
    Size: human ? humanSize(size) : String(size),
    Comment: comment,
  }))
  process.stdout.write(formatList(rows, {
    columns: [['ID', 'IMAGE'], ['CreatedSince', 'CREATED'], ['CreatedBy', 'CREATED BY'], ['Size', 'SIZE'], ['Comment', 'COMMENT']],
    heads: { CreatedAt: 'CREATED AT' }, format, quiet: quiet === true ? 'ID' : undefined,
  }))
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}
