import { importModule } from '@mayfly/core/plugin'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'

/** The file of ours that Jest loads for a purpose. */
export function ours(name: string): string {
  return createRequire(import.meta.url).resolve(`./${name}.cjs`)
}

/**
 * The path of a global set-up or tear-down that runs ours and the user's own. Jest runs each path once, with the first
 * project that names it: every configuration that has one of its own gets a file of its own, kept in the project's cache,
 * and the same each time Jest reads the configuration. `place` tells equal configurations apart.
 */
export function around(kind: 'setup' | 'teardown', own: string | undefined, place: string): string {
  const path = ours(kind)
  if (own === undefined) return path
  const text = `module.exports = require(${JSON.stringify(path)}).around(${JSON.stringify(own)})\n`
  const file = join(cacheDirectory(), `jest-${kind}-${createHash('sha256').update(`${place}\0${text}`).digest('hex').slice(0, 16)}.cjs`)
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return file
  // Renamed into place: another Jest may be reading it.
  const fresh = `${file}.${String(process.pid)}`
  writeFileSync(fresh, text)
  renameSync(fresh, file)
  return file
}

/** The file that called one of ours: the configuration, whose path Jest does not tell it. */
export function callerOf(stack = ''): string {
  const own = dirname(ours('setup'))
  const files = [...stack.matchAll(/(?:file:\/\/)?(\/[^():\n]+):\d+:\d+/g)].map(([, file = '']) => file)
  return files.find(file => !file.startsWith(own)) ?? ''
}

/** Runs the user's own global set-up or tear-down. */
export async function runOwn(path: string, rootDir: string, ...args: readonly unknown[]): Promise<void> {
  const { resolve } = createRequire(join(rootDir, 'package.json'))
  const run = await importModule(resolve(path.replace('<rootDir>', rootDir)))
  if (typeof run === 'function') await run(...args)
}

/** Where tools of a project keep what they can make again; elsewhere if there is no such place. */
function cacheDirectory(): string {
  for (let at = process.cwd(); ; at = dirname(at)) {
    const modules = join(at, 'node_modules')
    if (existsSync(modules)) {
      const directory = join(modules, '.cache/mayfly')
      try {
        mkdirSync(directory, { recursive: true })
        return directory
      } catch {
        break
      }
    }
    if (at === dirname(at)) break
  }
  const directory = join(tmpdir(), `mayfly-jest-${String(userInfo().uid)}`)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  return directory
}
