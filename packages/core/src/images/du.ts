import { lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'

/** Bytes that a tree takes on the disk, a file with several names counted once. What may not be looked into counts nothing. */
export async function treeSize(path: string): Promise<number> {
  const seen = new Set<string>()
  const sizeOf = async (at: string): Promise<number> => {
    const found = await lstat(at).catch(() => undefined)
    if (found === undefined) return 0
    if (found.nlink > 1 && !found.isDirectory()) {
      const inode = `${found.dev} ${found.ino}`
      if (seen.has(inode)) return 0
      seen.add(inode)
    }
    let sum = found.blocks * 512
    if (!found.isDirectory()) return sum
    const directory = await opendir(at).catch(() => undefined)
    if (directory === undefined) return sum
    for await (const { name } of directory) sum += await sizeOf(join(at, name))
    return sum
  }
  return sizeOf(path)
}
