import { createHash, type Hash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { MayflyError } from '../errors.js'
import { globPattern } from '../glob.js'

const LOCK_FILES = ['package-lock.json', 'npm-shrinkwrap.json', 'pnpm-lock.yaml', 'yarn.lock', 'bun.lock']
const EXTENSIONS = ['', '.ts', '.mts', '.cts', '.js', '.mjs', '.cjs', '.json', '/index.ts', '/index.js']

/** Adds to `hash` what a prepared state depends on besides the image: the inputs' contents, the config's own modules, the lock file. */
export function hashInputs(hash: Hash, config: string, service: string, inputs: readonly string[]): void {
  const root = dirname(config)
  for (const path of moduleGraph(config)) addFile(hash, root, path)
  for (const pattern of inputs) {
    const files = filesOf(root, pattern)
    if (files.length === 0) {
      throw new MayflyError('ERR_MAYFLY_CONFIG_INVALID', `${config}: the inputs of "${service}" name ${JSON.stringify(pattern)}, which matches nothing`, {
        hint: 'Patterns are relative to the configuration; ** stands for any depth.',
      })
    }
    for (const path of files) addFile(hash, root, path)
  }
  const lock = lockFileAbove(root)
  if (lock !== undefined) addFile(hash, root, lock)
}

/** Files that a pattern matches, sorted. */
export function filesOf(root: string, pattern: string): readonly string[] {
  const clean = pattern.replace(/^\.\//, '')
  const fixed = clean.replace(/[^/]*[*?[\\][^]*$/, '')
  const base = resolve(root, fixed)
  if (!existsSync(base)) return []
  if (!statSync(base).isDirectory()) return [base]
  // A directory stands for all in it.
  const whole = fixed.replace(/\/$/, '') === clean.replace(/\/$/, '')
  const matcher = globPattern(clean)
  return filesUnder(base).filter(path => whole || matcher.test(relative(root, path))).sort()
}

function filesUnder(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap(entry => {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesUnder(path)
    return entry.isFile() || (entry.isSymbolicLink() && statSync(path, { throwIfNoEntry: false })?.isFile() === true) ? [path] : []
  })
}

/** A module and those of the project it imports, by paths that stand in its text. Packages count through the lock file. */
export function moduleGraph(entry: string): readonly string[] {
  return [...modulesFrom([entry])].map(([path]) => path).sort()
}

/** The same of several, with their texts: themselves first. */
export function* modulesFrom(entries: readonly string[]): Generator<readonly [path: string, text: string]> {
  const seen = new Set(entries)
  // What is added is visited as well.
  for (const path of seen) {
    const text = readFileSync(path, 'utf8')
    yield [path, text]
    for (const [, specifier = ''] of text.matchAll(/(?:from|import|require)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g)) {
      const found = resolveModule(path, specifier)
      if (found !== undefined) seen.add(found)
    }
  }
}

function resolveModule(from: string, specifier: string): string | undefined {
  const base = resolve(dirname(from), specifier)
  // TypeScript sources are imported under the names of what they become.
  const source = base.replace(/\.([cm]?)js$/, '.$1ts')
  const candidates = [...EXTENSIONS.map(extension => base + extension), source]
  const found = candidates.find(path => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
  if (found !== undefined) return found
  try {
    return createRequire(from).resolve(specifier)
  } catch {
    return undefined
  }
}

function lockFileAbove(directory: string): string | undefined {
  for (let at = directory; ; at = dirname(at)) {
    const found = LOCK_FILES.map(name => join(at, name)).find(path => existsSync(path))
    if (found !== undefined || at === dirname(at)) return found
  }
}

function addFile(hash: Hash, root: string, path: string): void {
  const bytes = readFileSync(path)
  hash.update(`${relative(root, path)}\0${String(bytes.length)}\0`).update(createHash('sha256').update(bytes).digest())
}
