// Imports go down the floors only, and packages import only each other's public entries.
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import ts from 'typescript'

const floors = {
  errors: 1, reference: 1, digest: 1, platform: 1, units: 1, idmap: 1, nearest: 1, glob: 1,
  native: 2, registry: 2, layers: 2,
  images: 3, sandbox: 3, network: 3,
  container: 4, build: 4,
  engine: 5, listing: 5, keeper: 6,
  services: 6, host: 6, plugin: 7, worker: 7,
  index: 7,
}
const frameworks = /^(jest|vitest|@jest\/.*|vite|jest-environment-.*)$/

/** @param {string} root of the repository @returns {string[]} */
export function floorViolations(root) {
  const problems = []
  for (const name of readdirSync(join(root, 'packages'))) {
    const source = join(root, 'packages', name, 'src')
    for (const file of sources(source)) {
      for (const target of imports(file)) {
        const problem = judge(name, source, file, target)
        if (problem !== undefined) problems.push(`${relative(root, file)} imports ${target}: ${problem}`)
      }
    }
  }
  return problems
}

function judge(name, source, file, target) {
  if (!target.startsWith('.')) {
    if (target === '@mayfly/native' && !(name === 'core' && room(source, file) === 'native')) return 'only core/src/native may'
    if (name === 'core' && frameworks.test(target)) return 'the library knows no test framework'
    if (/^@mayfly\/core\/(?!(plugin|worker|engine|listing|package\.json)$)/.test(target)) return 'not a public entry'
    return undefined
  }
  if (name !== 'core') return undefined
  const path = join(dirname(file), target)
  if (relative(source, path).startsWith('..')) return undefined
  const [from, to] = [room(source, file), room(source, path)]
  if (from === to) return undefined
  if (floors[from] === undefined) return `${from} has no floor`
  if (floors[to] === undefined) return `${to} has no floor`
  return floors[to] > floors[from] ? `${to} is above ${from}` : undefined
}

function room(source, path) {
  return relative(source, path).split('/')[0].replace(/\.[jt]s$/, '')
}

function imports(file) {
  return ts.preProcessFile(readFileSync(file, 'utf8'), true, true).importedFiles.map((one) => one.fileName)
}

function sources(directory) {
  let entries
  try { entries = readdirSync(directory, { recursive: true, encoding: 'utf8' }) } catch { return [] }
  return entries.filter((path) => /\.[cm]?ts$/.test(path)).map((path) => join(directory, path))
}
