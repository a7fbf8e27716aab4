import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * A hash over files and whole directories, by name and content; what does not exist counts as absent.
 * @param {string} root @param {string[]} paths  relative to root
 */
export function hashFiles(root, paths) {
  const hash = createHash('sha256').update(process.version)
  const add = (path) => {
    const stat = statSync(join(root, path), { throwIfNoEntry: false })
    if (stat === undefined) return
    if (stat.isDirectory()) {
      for (const name of readdirSync(join(root, path)).sort()) {
        if (name !== 'node_modules' && name !== 'dist') add(join(path, name))
      }
    } else {
      const bytes = readFileSync(join(root, path))
      hash.update(`${path}\0${bytes.length}\0`).update(bytes)
    }
  }
  paths.forEach(add)
  return hash.digest('hex')
}

/** @param {string} file @param {string} hash */
export function isCurrent(file, hash) {
  try {
    return readFileSync(file, 'utf8') === hash
  } catch {
    return false
  }
}

/** Written last and whole: an interrupted step leaves the old stamp or none. @param {string} file @param {string} hash */
export function stamp(file, hash) {
  mkdirSync(dirname(file), { recursive: true })
  const temporary = `${file}.${process.pid}`
  writeFileSync(temporary, hash)
  renameSync(temporary, file)
}
