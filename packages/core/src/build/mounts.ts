import { createHash } from 'node:crypto'
import { isAbsolute, join, posix, resolve } from 'node:path'

import type { Mount } from '../container/types.js'
import type { FileLock } from '../layers/index.js'
import type { Build } from './builder.js'
import { openCacheMount, type Sharing } from './cache-mount.js'
import { planCopy, type LayerEntry } from './copy.js'
import { fault } from './dockerfile/fault.js'
import type { RunInstruction, RunMount } from './dockerfile/types.js'
import type { Step } from './instruction.js'
import { hashEntries, placeEntries } from './pack.js'
import { secretOf } from './secret.js'
import type { StageRunner } from './stage.js'
import { settledStack } from './state.js'
import { stackTree } from './tree.js'
import { expandAt, lookupIn } from './variables.js'

/** The `--mount`s of one RUN, ready for its container. */
export interface OpenMounts {
  readonly mounts: readonly Mount[]
  readonly tmpfs: readonly string[]
  /** Secrets that the command gets as variables. */
  readonly env: Readonly<Record<string, string>>
  /** Where they stand: what is made there for them does not belong to the image. */
  readonly targets: readonly string[]
  /** What of them counts for the cache: never a secret's value. */
  readonly key: string
  close(): Promise<void>
}

interface Opened {
  readonly mount?: Mount
  readonly tmpfs?: string
  readonly env?: Readonly<Record<string, string>>
  readonly target?: string
  readonly key: string
  readonly lock?: FileLock
}

/** [Dockerfile reference, "RUN --mount"] */
export async function openMounts(build: Build, stages: StageRunner, step: Step, instruction: RunInstruction): Promise<OpenMounts> {
  const opened: Opened[] = []
  const close = async (): Promise<void> => void (await Promise.all(opened.map(({ lock }) => lock?.release())))
  try {
    for (const mount of instruction.mounts) opened.push(...await open({ build, stages, step, instruction }, mount))
  } catch (error) {
    await close()
    throw error
  }
  return {
    mounts: opened.flatMap(({ mount }) => mount ?? []),
    tmpfs: opened.flatMap(({ tmpfs }) => tmpfs ?? []),
    env: Object.assign({}, ...opened.map(({ env }) => env)) as Record<string, string>,
    targets: opened.flatMap(({ target }) => target ?? []),
    key: JSON.stringify(opened.map(({ key, target }) => [key, target])),
    close,
  }
}

interface Opening {
  readonly build: Build
  readonly stages: StageRunner
  readonly step: Step
  readonly instruction: RunInstruction
  /** An option's value, expanded. */
  value(name: string): string | undefined
  /** A path in the container, by the working directory. */
  absolute(path: string): string
}

async function open(opened: Pick<Opening, 'build' | 'stages' | 'step' | 'instruction'>, { type, options }: RunMount): Promise<readonly Opened[]> {
  const { build, step: { state }, instruction: { place } } = opened
  const opening: Opening = {
    ...opened,
    value: name => {
      const text = options[name]
      return text === undefined ? undefined : expandAt(build.source, place, text, lookupIn(state), build.escape)
    },
    absolute: path => (isAbsolute(path) ? path : posix.resolve('/', state.config.WorkingDir ?? '/', path)),
  }
  if (type === 'secret') return await openSecret(opening)
  if (type === 'ssh') return openAgent(opening)
  const target = opening.absolute(opening.value('target') ?? '')
  if (type === 'bind') return [await openBind(opening, target, options['readwrite'] === 'true')]
  if (type === 'cache') return [await openCache(opening, target, options['readonly'] === 'true')]
  const size = opening.value('size')
  return [{ target, tmpfs: size === undefined ? target : `${target}:size=${size}`, key: `tmpfs ${size ?? ''}` }]
}

async function openSecret({ build, instruction: { place }, value, absolute }: Opening): Promise<readonly Opened[]> {
  const variable = value('env')
  const target = value('target')
  const id = value('id') ?? (target === undefined ? variable : posix.basename(target))
  if (id === undefined) throw fault(build.source, place, 'a secret mount needs id=…')
  const content = await secretOf(build.options, id)
  if (content === undefined) {
    if (value('required') !== 'true') return []
    throw fault(build.source, place, `the secret "${id}" is required and was not given`, `mayfly build --secret id=${id},src=FILE`)
  }
  const opened: Opened[] = variable === undefined ? [] : [{ env: { [variable]: content.toString() }, key: `secret ${id} as ${variable}` }]
  if (variable !== undefined && target === undefined) return opened
  const at = absolute(target ?? `/run/secrets/${id}`)
  const source = await build.secrets.write(content, rightsOf(value, '400'))
  return [...opened, { target: at, mount: { source, target: at, readonly: true }, key: `secret ${id}` }]
}

function openAgent({ build, instruction: { place }, value, absolute }: Opening): readonly Opened[] {
  const target = absolute(value('target') ?? '/run/buildkit/ssh_agent.0')
  const socket = build.options.ssh?.[value('id') ?? 'default'] ?? process.env['SSH_AUTH_SOCK']
  if (socket !== undefined) return [{ target, mount: { source: resolve(socket), target }, env: { SSH_AUTH_SOCK: target }, key: 'ssh' }]
  if (value('required') !== 'true') return []
  throw fault(build.source, place, 'an ssh agent is required, and SSH_AUTH_SOCK is not set')
}

async function openCache(opening: Opening, target: string, readonly: boolean): Promise<Opened> {
  const { build, instruction: { place }, value } = opening
  const id = value('id') ?? target
  const sharing = value('sharing') ?? 'shared'
  if (!isSharing(sharing)) throw fault(build.source, place, `a cache is shared, private or locked, not "${sharing}"`)
  if (value('from') === undefined && value('source') !== undefined) throw fault(build.source, place, 'a cache mount\'s source lies in what from=… names, which is missing')
  const filling = value('from') === undefined ? undefined : await filesOf(opening)
  const { directory, lock } = await openCacheMount(build, { id, sharing, rights: rightsOf(value, '755'), filling: filling?.entries ?? [] })
  return { target, mount: { source: directory, target, readonly }, key: `cache ${id}`, ...(lock === undefined ? {} : { lock }) }
}

/** A copy: links in it lead nowhere else, and what is written to it is thrown away. */
async function openBind(opening: Opening, target: string, writable: boolean): Promise<Opened> {
  const { entries, isFile } = await filesOf(opening)
  const hash = createHash('sha256')
  const read = await hashEntries(hash, entries, opening.build.files)
  const directory = opening.build.place()
  await placeEntries(read, directory)
  return { target, mount: { source: isFile ? join(directory, 'file') : directory, target, readonly: !writable }, key: `bind ${hash.digest('hex')}` }
}

/** What `from` and `source` name: files of the context or another stage, links followed inside it alone (CVE-2024-1753). */
async function filesOf({ build, stages, step, instruction: { place }, value }: Opening): Promise<{ readonly entries: readonly LayerEntry[]; readonly isFile: boolean }> {
  const [from, wanted = ''] = [value('from'), value('source')]
  const tree = from === undefined ? await build.context.tree() : stackTree(await settledStack(await stages.named(from, step.index, place)))
  const path = posix.normalize(`/${wanted}`).slice(1)
  const found = await tree.find(path, true)
  if (found === undefined) throw fault(build.source, place, `the mount's source "${wanted}" is not ${from === undefined ? 'in the build context' : `in ${from}`}`)
  const isFile = !found.stat.isDirectory()
  const entries = await planCopy(tree, {
    sources: [path === '' ? '.' : path], destination: isFile ? '/file' : '/', intoDirectory: !isFile, exclude: [], parents: false, owner: undefined, keepOwner: from !== undefined, chmod: undefined,
  })
  return { entries, isFile }
}

function rightsOf(value: Opening['value'], mode: string): { readonly mode: number; readonly uid: number; readonly gid: number } {
  return { mode: Number.parseInt(value('mode') ?? mode, 8), uid: Number(value('uid') ?? 0), gid: Number(value('gid') ?? 0) }
}

function isSharing(text: string): text is Sharing {
  return ['shared', 'private', 'locked'].includes(text)
}
