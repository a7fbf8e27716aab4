import { createHash } from 'node:crypto'
import { posix } from 'node:path'

import { imageFile } from '../images/index.js'
import { resolveInStack } from '../layers/index.js'
import { resolveUser } from '../sandbox/index.js'
import { archiveKey, archiveLayer, isArchive, type Archive } from './archive.js'
import type { Build } from './builder.js'
import { chmodOf } from './chmod.js'
import { NothingFound, planCopy, type CopyWish, type LayerEntry } from './copy.js'
import { fault } from './dockerfile/fault.js'
import { expandWord } from './dockerfile/expand.js'
import type { CopyInstruction } from './dockerfile/types.js'
import { download } from './download.js'
import { clone, gitReference, type GitReference } from './git.js'
import { readIgnore } from './ignore.js'
import type { Step } from './instruction.js'
import { layerPlace } from './keep.js'
import { pack, withLayer } from './layer.js'
import { hashEntries } from './pack.js'
import type { StageRunner } from './stage.js'
import { nextKey, settledStack, stackOf, type BuildState } from './state.js'
import { directoryTree, stackTree, type SourceTree } from './tree.js'
import { expandAt, lookupIn } from './variables.js'

/** COPY and ADD: a layer of files from the context, another stage, the instruction itself or the network; another for each archive. */
export async function applyCopy(build: Build, stages: StageRunner, step: Step, instruction: CopyInstruction): Promise<BuildState> {
  const { state } = step
  const { place, kind } = instruction
  const expand = (text: string): string => expandAt(build.source, place, text, lookupIn(state), build.escape)
  const sources = instruction.sources.map(expand)
  const destination = expand(instruction.destination)
  const wish = await wishOf(build, state, instruction, { sources, destination, expand })
  const from = instruction.from === undefined ? undefined : await stages.named(expand(instruction.from), step.index, instruction.place)
  const tree = from === undefined ? await build.context.tree() : stackTree(await settledStack(from))
  const { entries, archives } = await filesOf(build, tree, instruction, wish, step)
  const named = [...sources, ...instruction.heredocs.map(({ name }) => `<<${name}`)]
  const text = `${kind} ${flagsOf(instruction, expand)}${named.join(' ')} ${destination}`
  let next = state
  for (const archive of archives) {
    const key = nextKey(next.key, kind, await archiveKey(archive))
    const below = stackOf(next).map(({ directory }) => directory)
    next = await withLayer(build, { ...step, state: next }, text, key, () => archiveLayer(archive, { directory: layerPlace(build.place()), lowers: below, latest: build.epoch }))
  }
  if (archives.length > 0 && entries.length === 0) return next
  const hash = createHash('sha256')
  const read = await hashEntries(hash, entries, build.files)
  const key = nextKey(next.key, kind, wish.destination, hash.digest('hex'))
  return await withLayer(build, { ...step, state: next }, text, key, () => pack(build, next, read))
}

function flagsOf({ from, chown, chmod, link, parents, checksum }: CopyInstruction, expand: (text: string) => string): string {
  const values = Object.entries({ from, chown, chmod, checksum }).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${expand(value)} `]))
  return [...values, ...(link ? ['--link '] : []), ...(parents ? ['--parents '] : [])].join('')
}

interface Words {
  readonly sources: readonly string[]
  readonly destination: string
  expand(text: string): string
}

async function wishOf(build: Build, state: BuildState, instruction: CopyInstruction, { sources, destination, expand }: Words): Promise<CopyWish> {
  const { place, chown, chmod } = instruction
  const path = destination.startsWith('/') ? destination : `${state.config.WorkingDir ?? '/'}/${destination}`
  // Such a layer stands for itself: what lies below it decides nothing, links included.
  const stack = instruction.link ? [] : await settledStack(state)
  const resolved = instruction.link ? { path: posix.normalize(`/${path}`).replace(/^\/|\/$/g, ''), stat: undefined } : await resolveInStack(stack, path)
  if (resolved === undefined) throw fault(build.source, place, `${destination} leads through something that is no directory`)
  const isDirectory = resolved.stat?.isDirectory() === true || resolved.path === ''
  const slash = /\/\.?$/.test(destination) || destination === '.' || destination === ''
  if (resolved.stat !== undefined && !isDirectory && slash) throw fault(build.source, place, `${destination} is no directory in the image`)
  const mode = chmod === undefined ? undefined : chmodOf(expand(chmod))
  if (chmod !== undefined && mode === undefined) throw fault(build.source, place, `--chmod=${chmod} is no mode`, 'Octal such as 755, or as chmod takes it: u=rwx,go=rx.')
  return {
    sources, exclude: instruction.exclude.map(expand), parents: instruction.parents, chmod: mode,
    destination: `/${resolved.path}${slash && resolved.path !== '' ? '/' : ''}`,
    intoDirectory: isDirectory,
    owner: chown === undefined ? undefined : await ownerOf(state, expand(chown)),
    // Another image's files keep their owners, the context's have none here.
    keepOwner: instruction.from !== undefined,
  }
}

/** `user[:group]` by the image's own accounts; a user without a group has the group of the same number. */
async function ownerOf(state: BuildState, text: string): Promise<{ uid: number; gid: number }> {
  const image = { stack: await settledStack(state) }
  const [passwd, group] = await Promise.all(['/etc/passwd', '/etc/group'].map(async path => (await imageFile(image, path))?.toString('utf8') ?? ''))
  const { uid, gid } = resolveUser(text, passwd ?? '', group ?? '')
  return { uid, gid: /^\d+$/.test(text) ? uid : gid }
}

interface Files {
  readonly entries: readonly LayerEntry[]
  readonly archives: readonly Archive[]
}

async function filesOf(build: Build, tree: SourceTree, instruction: CopyInstruction, wish: CopyWish, { state }: Step): Promise<Files> {
  const { kind, heredocs, unpack } = instruction
  const entries: LayerEntry[] = []
  const archives: Archive[] = []
  const several = wish.sources.length + heredocs.length > 1
  for (const { name, content, expand } of heredocs) {
    const bytes = Buffer.from(expand ? expandWordKeepingQuotes(content, state) : content)
    entries.push(single(wish, name, several, { bytes }, bytes.length, 0o644))
  }
  const unpacked = (file: string): void => void archives.push({ file, target: wish.destination.replace(/^\/+|\/+$/g, ''), owner: wish.owner })
  const plain: string[] = []
  for (const source of wish.sources) {
    const repository = kind === 'ADD' ? gitReference(source) : undefined
    if (repository !== undefined) {
      entries.push(...await fromRepository(build, repository, instruction, wish))
    } else if (kind === 'ADD' && /^https?:\/\//.test(source)) {
      const { file, size, mtime, name } = await download(build, source, instruction.checksum)
      if (unpack === true && await isArchive(file)) unpacked(file)
      else entries.push({ ...single(wish, name, several, { file }, size, 0o600), mtime })
    } else {
      const found = kind === 'ADD' && unpack !== false && !/[*?[\\]/.test(source) ? await tree.find(posix.normalize(`/${source}`).slice(1), true) : undefined
      if (found?.stat.isFile() === true && await isArchive(found.file)) unpacked(found.file)
      else plain.push(source)
    }
  }
  if (plain.length > 0) {
    const destination = several && !wish.destination.endsWith('/') ? `${wish.destination}/` : wish.destination
    entries.push(...await planned(build, tree, instruction, { ...wish, sources: plain, destination }))
  }
  return { entries: await withParents(state, instruction, wish, entries), archives }
}

async function planned(build: Build, tree: SourceTree, { place, from }: CopyInstruction, wish: CopyWish): Promise<readonly LayerEntry[]> {
  try {
    return await planCopy(tree, wish)
  } catch (error) {
    if (!(error instanceof NothingFound)) throw error
    const where = tree === await build.context.tree() ? 'in the build context' : `in ${from ?? 'the repository'}`
    throw fault(build.source, place, `"${error.message}" is not ${where}`, from === undefined ? 'Look at the context\'s directory, and at .dockerignore.' : undefined)
  }
}

async function fromRepository(build: Build, reference: GitReference, instruction: CopyInstruction, wish: CopyWish): Promise<readonly LayerEntry[]> {
  const directory = build.place()
  await clone(reference, directory, { keepGitDir: instruction.keepGitDir, checksum: instruction.checksum, signal: build.signal })
  return await planned(build, directoryTree(directory, readIgnore('')), instruction, { ...wish, sources: [reference.directory || '.'] })
}

/** Directories that a COPY makes on its way: the owner's, and of no time, so that the same files make the same layer. */
async function withParents(state: BuildState, { link }: CopyInstruction, { owner }: CopyWish, entries: readonly LayerEntry[]): Promise<readonly LayerEntry[]> {
  const stack = link && owner !== undefined ? [] : await settledStack(state)
  const there = new Set(entries.map(({ path }) => path))
  const made: LayerEntry[] = []
  for (const { path } of entries) {
    for (let at = posix.dirname(path); at !== '.' && !there.has(at); at = posix.dirname(at)) {
      there.add(at)
      if ((await resolveInStack(stack, at, false))?.stat !== undefined) break
      made.push({ path: at, type: 'directory', mode: 0o755, uid: 0, gid: 0, ...owner, mtime: 0, size: 0, target: undefined, content: undefined })
    }
  }
  return made.length === 0 ? entries : [...made, ...entries].sort((a, b) => (a.path < b.path ? -1 : 1))
}

function single({ destination, intoDirectory, owner, chmod }: CopyWish, name: string, several: boolean, content: LayerEntry['content'], size: number, mode: number): LayerEntry {
  const target = destination.replace(/^\/+|\/+$/g, '')
  const path = destination.endsWith('/') || intoDirectory || several ? [target, name].filter(part => part !== '').join('/') : target
  return { path, type: 'file', mode: chmod?.(mode, false) ?? mode, uid: owner?.uid ?? 0, gid: owner?.gid ?? 0, mtime: 0, size, target: undefined, content }
}

/** In a heredoc quotes are text; only variables are expanded. */
function expandWordKeepingQuotes(content: string, state: BuildState): string {
  return expandWord(content.replace(/(["'])/g, '\\$1'), lookupIn(state)).text
}
