import { closeSync, existsSync, fsyncSync, lstatSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Script } from 'node:vm'

/** Directories of other versions, and of other versions' Node, that are left. */
const KEPT = 3

type Load = (exports: object, require: NodeJS.Require, module: { exports: unknown }, file: string, directory: string) => void

/**
 * Loads a file of CommonJS, with what V8 compiled of it when the same command ran before: to compile it takes longer than
 * all else a short command does (bench.md). A file says what it is in its first line. NODE_DISABLE_COMPILE_CACHE turns it off, as in Node 22.
 */
export function loadCompiled(file: string, command: string): unknown {
  // Ours has no other characters, and V8 needs half the memory for it.
  const source = readFileSync(file, 'latin1')
  const place = placeFor(source, command)
  const cachedData = place === undefined ? undefined : read(place)
  const script = new Script(`(function (exports, require, module, __filename, __dirname) {${source}\n})`, { filename: file, ...(cachedData === undefined ? {} : { cachedData }) })
  if (place !== undefined && (cachedData === undefined || script.cachedDataRejected === true)) {
    // At the end, so that the functions it called are in it.
    process.once('exit', (code) => { if (code === 0) write(place, script) })
  }
  const module = { exports: {} }
  ;(script.runInThisContext() as Load)(module.exports, require, module, file, join(file, '..'))
  return module.exports
}

interface Place {
  /** Of all versions. */
  readonly root: string
  readonly directory: string
  readonly file: string
}

/** Beside the store and not in it: this is code, and the store may come from the cache of a CI. */
function placeFor(source: string, command: string): Place | undefined {
  const { HOME, XDG_CACHE_HOME, NODE_DISABLE_COMPILE_CACHE } = process.env
  const cache = XDG_CACHE_HOME !== undefined && XDG_CACHE_HOME !== '' ? XDG_CACHE_HOME : HOME === undefined ? undefined : join(HOME, '.cache')
  const name = /^\/\/([0-9a-f]{64})\n/.exec(source)?.[1]
  if (cache === undefined || name === undefined || NODE_DISABLE_COMPILE_CACHE !== undefined || !/^[a-z]+$/.test(command)) return undefined
  const root = join(cache, 'mayfly-code')
  const directory = join(root, `${name.slice(0, 16)}-${process.version}-${process.arch}`)
  return { root, directory, file: join(directory, command) }
}

function read({ root, file }: Place): Buffer | undefined {
  try {
    // Whoever can write there decides what runs here.
    const { uid, mode } = lstatSync(root)
    return uid === process.geteuid?.() && (mode & 0o022) === 0 ? readFileSync(file) : undefined
  } catch {
    return undefined
  }
}

/** Whole or not at all, also when the machine fails: V8 does not check what it reads. What cannot be written is not. */
function write({ root, directory, file }: Place, script: Script): void {
  const temporary = `${file}.${process.pid}.tmp`
  try {
    if (!existsSync(directory)) makeRoom(root)
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const descriptor = openSync(temporary, 'wx', 0o600)
    try {
      writeFileSync(descriptor, script.createCachedData())
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    renameSync(temporary, file)
  } catch {
    try {
      unlinkSync(temporary)
    } catch {}
  }
}

function makeRoom(root: string): void {
  if (!existsSync(root)) return
  const all = readdirSync(root).map((name) => join(root, name)).sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)
  for (const path of all.slice(KEPT)) rmSync(path, { recursive: true, force: true })
}
