import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

/** The plain layers of the only image in a store. */
export function layersOf(home: string): Buffer[] {
  const blobs = join(home, 'blobs/sha256')
  const all = readdirSync(blobs).map((name) => readFileSync(join(blobs, name)))
  const manifest = all.map((bytes) => { try { return JSON.parse(bytes.toString()) as { layers?: { digest: string }[] } } catch { return {} } })
    .find(({ layers }) => layers !== undefined)
  return (manifest?.layers ?? []).map(({ digest }) =>
    gunzipSync(all.find((bytes) => createHash('sha256').update(bytes).digest('hex') === digest.slice(7)) ?? Buffer.alloc(0)))
}
