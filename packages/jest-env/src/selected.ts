import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** What of Jest's configuration says which files were asked for. */
export interface Selection {
  readonly rootDir?: string
  readonly runTestsByPath?: boolean
  readonly nonFlagArgs?: readonly string[]
  /** Jest 30's. */
  readonly testPathPatterns?: { readonly patterns: readonly string[] }
  /** Jest 29's. */
  readonly testPathPattern?: string
  /** Also where a commit or a branch says since when. */
  readonly onlyChanged?: boolean
  readonly onlyFailures?: boolean
  readonly findRelatedTests?: boolean
  readonly filter?: string
  readonly shard?: object
}

/**
 * The files that Jest was asked for, or undefined when it was asked for all: it tells a set-up no more than the patterns. May hold
 * more than the tests: what else they match. None when Jest alone knows which they are: they are seen when they come.
 */
export function selectedFiles(selection: Selection, directories: readonly string[]): readonly string[] | undefined {
  const { rootDir = process.cwd(), runTestsByPath = false, nonFlagArgs = [], testPathPatterns, testPathPattern = '' } = selection
  const { onlyChanged = false, onlyFailures = false, findRelatedTests = false, filter, shard } = selection
  if (onlyChanged || onlyFailures || findRelatedTests || filter !== undefined || shard !== undefined) return []
  if (runTestsByPath) return nonFlagArgs.map(path => resolve(rootDir, path)).filter(path => existsSync(path))
  const patterns = testPathPatterns?.patterns ?? (testPathPattern === '' ? [] : [testPathPattern])
  if (patterns.length === 0) return undefined
  try {
    const matchers = patterns.map(pattern => new RegExp(pattern.replace(/^\.\//, ''), 'i'))
    return directories.flatMap(directory => sourcesUnder(directory)).filter(path => matchers.some(matcher => matcher.test(path)))
  } catch {
    // Jest itself says what is wrong with a pattern.
    return undefined
  }
}

function sourcesUnder(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap(entry => {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return entry.name === 'node_modules' || entry.name.startsWith('.') ? [] : sourcesUnder(path)
    return /\.[cm]?[jt]sx?$/.test(entry.name) ? [path] : []
  })
}
