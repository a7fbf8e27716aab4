import { each } from '../action.js'
import { humanSize } from '../size.js'
import { elapsed } from '../table.js'
import { formatList, type Column } from '../template/index.js'

interface Row {
  readonly Key: string
  readonly Label: string
  readonly Image: string
  readonly CreatedAt: string
  readonly CreatedSince: string
  readonly Size: string
}

const columns: readonly Column<Row>[] = [['Key', 'KEY'], ['Label', 'LABEL'], ['Image', 'IMAGE'], ['CreatedSince', 'CREATED'], ['Size', 'SIZE']]

/** Lists the snapshots of the store, newest first. */
export async function snapshots({ quiet, format }: { readonly quiet?: boolean, readonly format?: string }): Promise<void> {
  const { snapshots: list } = await import('@mayfly/core/engine')
  const now = Date.now()
  const rows = (await list()).map(({ key, label, image, createdAt, size }): Row => ({
    Key: key, Label: label, Image: image, CreatedAt: createdAt.toISOString(), CreatedSince: `${elapsed(createdAt.getTime(), now)} ago`, Size: humanSize(size),
  }))
  process.stdout.write(formatList(rows, { columns, format, quiet: quiet === true ? 'Key' : undefined }))
}

/** Removes those that no container runs from. */
export async function rm(keys: readonly string[]): Promise<void> {
  const { removeSnapshot, snapshots: list } = await import('@mayfly/core/engine')
  const known = new Set((await list()).map(({ key }) => key))
  await each(keys, async (key) => {
    if (!known.has(key)) throw Object.assign(new Error(`No such snapshot: ${key}`), { code: 'ERR_MAYFLY_OPTION_INVALID', hint: 'mayfly snapshots lists them.' })
    await removeSnapshot(key)
    return key
  })
}
