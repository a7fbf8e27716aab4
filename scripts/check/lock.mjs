import { readFileSync } from 'node:fs'

/** Optional dependencies the lock names without an entry of their own: `npm ci` fails on such a lock. */
export function missingFromLock(path) {
  const { packages } = JSON.parse(readFileSync(path, 'utf8'))
  const problems = []
  for (const [place, entry] of Object.entries(packages)) {
    for (const name of Object.keys(entry.optionalDependencies ?? {})) {
      if (!resolves(packages, place, name)) problems.push(`${place || 'the root'} names ${name}, which has no entry`)
    }
  }
  return problems
}

function resolves(packages, place, name) {
  for (let at = place; ; at = at.slice(0, Math.max(0, at.lastIndexOf('node_modules/') - 1))) {
    if (packages[`${at === '' ? '' : `${at}/`}node_modules/${name}`] !== undefined) return true
    if (at === '') return false
    if (!at.includes('node_modules/')) return packages[`node_modules/${name}`] !== undefined
  }
}
