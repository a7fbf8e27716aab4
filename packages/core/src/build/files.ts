import { createHash } from 'node:crypto'

import { MayflyError } from '../errors.js'
import { imageFile } from '../images/index.js'
import { resolveInStack } from '../layers/index.js'
import { resolveUser } from '../sandbox/index.js'
import { isArchive, archiveEntries } from './archive.js'
import type { Build } from './builder.js'
import { chmodOf } from './chmod.js'
import { NothingFound, planCopy, type CopyWish, type LayerEntry } from './copy.js'
import { fault } from './dockerfile/fault.js'
import { expandWord } from './dockerfile/expand.js'
import type { CopyInstruction } from './dockerfile/types.js'
import { download } from './download.js'
import type { Step } from './instruction.js'
import { pack, withLayer } from './layer.js'
import { hashEntries } from './pack.js'
import type { StageRunner } from './stage.js'
import { nextKey, settledStack, type BuildState } from './state.js'
import { stackTree, type SourceTree } from './tree.js'
import { expandAt, lookupIn } from './variables.js'

/** COPY and ADD: a layer of files from the context, another stage, the instruction itself or the network. */
export async function applyCopy(build: Build, stages: StageRunner, step: Step, instruction: CopyInstruction): Promise<BuildState> {
  const { state } = step
  const { place, kind } = instruction
  const expand = (text: string): string => expandAt(build.source, place, text, lookupIn(state), build.escape)
  const sources = instruction.sources.map(expand)
  const destination = expand(instruction.destination)
  const wish = await wishOf(build, state, instruction, { sources, destination, expand })
  const from = instruction.from === undefined ? undefined : await stages.named(expand(instruction.from), step.index)
  const tree = from === undefined ? await build.context.tree() : stackTree(await settledStack(from))
  const entries = await entriesOf(build, tree, instruction, wish, step)
  const hash = createHash('sha256')
  await hashEntries(hash, entries)
  const named = [...sources, ...instruction.heredocs.map(({ name }) => `<<${name}`)]
  const flags = [['from', instruction.from], ['chown', instruction.chown], ['chmod', instruction.chmod]].flatMap(([name, value]) => (value === undefined ? [] : [`--${name ?? ''}=${expand(value)} `]))
  const text = `${kind} ${flags.join('')}${named.join(' ')} ${destination}`
  const key = nextKey(state.key, kind, wish.destination, hash.digest('hex'))
  return await withLayer(build, step, text, key, () => pack(build, state, entries))
}

interface Words {
  readonly sources: readonly string[]
  readonly destination: string
  expand(text: string): string
}

async function wishOf(build: Build, state: BuildState, instruction: CopyInstruction, { sources, destination, expand }: Words): Promise<CopyWish> {
  const { place, chown, chmod } = instruction
  const stack = await settledStack(state)
  const path = destination.startsWith('/') ? destination : `${state.config.WorkingDir ?? '/'}/${destination}`
  const resolved = await resolveInStack(stack, path)
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

async function entriesOf(build: Build, tree: SourceTree, instruction: CopyInstruction, wish: CopyWish, { state }: Step): Promise<readonly LayerEntry[]> {
  const { place, kind, heredocs } = instruction
  const entries: LayerEntry[] = []
  const several = wish.sources.length + heredocs.length > 1
  for (const { name, content, expand } of heredocs) {
    const bytes = Buffer.from(expand ? expandWordKeepingQuotes(content, state) : content)
    entries.push(single(wish, name, several, { bytes }, bytes.length, 0o644))
  }
  const plain: string[] = []
  for (const source of wish.sources) {
    if (kind === 'ADD' && /^https?:\/\//.test(source)) {
      const { file, size, mtime, name } = await download(build, source, instruction.checksum)
      entries.push({ ...single(wish, name, several, { file }, size, 0o600), mtime })
    } else if (kind === 'ADD' && /^(git@|git:\/\/|https?:.*\.git)/.test(source)) {
      throw fault(build.source, place, 'ADD of git repositories is not supported', 'Clone it in a RUN, or outside.')
    } else if (kind === 'ADD' && instruction.unpack !== false && await isArchive(tree, source)) {
      entries.push(...await archiveEntries(tree, source, wish))
    } else plain.push(source)
  }
  if (plain.length > 0) {
    try {
      entries.push(...await planCopy(tree, { ...wish, sources: plain, destination: several && !wish.destination.endsWith('/') ? `${wish.destination}/` : wish.destination }))
    } catch (error) {
      if (!(error instanceof NothingFound)) throw error
      const where = instruction.from === undefined ? 'in the build context' : `in ${instruction.from}`
      throw fault(build.source, place, `"${error.message}" is not ${where}`, instruction.from === undefined ? 'Look at the context\'s directory, and at .dockerignore.' : undefined)
    }
  }
  if (entries.length === 0 && wish.sources.length === 0 && heredocs.length === 0) throw new MayflyError('ERR_MAYFLY_INTERNAL', 'COPY without sources')
  return entries
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
