import { createHash } from 'node:crypto'
import { chmod, chown, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { isAbsolute, join, posix, resolve } from 'node:path'

import type { Mount } from '../container/types.js'
import { MayflyError } from '../errors.js'
import { lockFile, type FileLock } from '../layers/index.js'
import type { Build } from './builder.js'
import { NothingFound, planCopy } from './copy.js'
import { fault } from './dockerfile/fault.js'
import type { RunInstruction, RunMount } from './dockerfile/types.js'
import type { Step } from './instruction.js'
import { layerPlace } from './keep.js'
import { hashEntries, packLayer } from './pack.js'
import type { StageRunner } from './stage.js'
import { settledStack } from './state.js'
import { stackTree } from './tree.js'
import { expandAt, lookupIn } from './variables.js'

/** The `--mount`s of one RUN, ready for its container. */
export interface OpenMounts {
  readonly mounts: readonly Mount[]
  readonly tmpfs: readonly string[]
  /** Where they stand: what is made there for them does not belong to the image. */
  readonly targets: readonly string[]
  /** What of them counts for the cache: never a secret's value. */
  readonly key: string
  close(): Promise<void>
}

interface Opened {
  readonly mount?: Mount
  readonly tmpfs?: string
  readonly target: string
  readonly key: string
  readonly lock?: FileLock
}

/** [Dockerfile reference, "RUN --mount"] */
export async function openMounts(build: Build, stages: StageRunner, step: Step, instruction: RunInstruction): Promise<OpenMounts> {
  const opened: Opened[] = []
  try {
    for (const mount of instruction.mounts) {
      const one = await open(build, stages, step, instruction, mount)
      if (one !== undefined) opened.push(one)
    }
  } catch (error) {
    await Promise.all(opened.map(({ lock }) => lock?.release()))
    throw error
  }
  return {
    mounts: opened.flatMap(({ mount }) => mount ?? []),
    tmpfs: opened.flatMap(({ tmpfs }) => tmpfs ?? []),
    targets: opened.map(({ target }) => target),
    key: JSON.stringify(opened.map(({ key, target }) => [key, target])),
    close: async () => void (await Promise.all(opened.map(({ lock }) => lock?.release()))),
  }
}

async function open(build: Build, stages: StageRunner, step: Step, { place }: RunInstruction, { type, options }: RunMount): Promise<Opened | undefined> {
  const { state } = step
  const expand = (text: string): string => expandAt(build.source, place, text, lookupIn(state), build.escape)
  const value = (name: string): string | undefined => (options[name] === undefined ? undefined : expand(options[name]))
  const absolute = (path: string): string => (isAbsolute(path) ? path : posix.resolve('/', state.config.WorkingDir ?? '/', path))
  const ids = { uid: Number(value('uid') ?? 0), gid: Number(value('gid') ?? 0) }
  const needed = (options['required'] ?? 'false') === 'true'
  if (type === 'tmpfs') {
    const target = absolute(value('target') ?? '')
    return { target, tmpfs: options['size'] === undefined ? target : `${target}:size=${options['size']}`, key: 'tmpfs' }
  }
  if (type === 'secret') {
    const target = absolute(value('target') ?? `/run/secrets/${value('id') ?? 'secret'}`)
    const id = value('id') ?? posix.basename(target)
    const content = await secretOf(build, id)
    if (content === undefined) {
      if (needed) throw fault(build.source, place, `the secret "${id}" is required and was not given`, `mayfly build --secret id=${id},src=FILE`)
      return undefined
    }
    const file = `${build.place()}.secret`
    await writeFile(file, content, { mode: 0o600, flag: 'wx' })
    await chmod(file, Number.parseInt(value('mode') ?? '400', 8))
    if (process.geteuid?.() === 0) await chown(file, ids.uid, ids.gid)
    return { target, mount: { source: file, target, readonly: true }, key: `secret ${id}` }
  }
  if (type === 'ssh') {
    const socket = process.env['SSH_AUTH_SOCK']
    if (socket === undefined) {
      if (needed) throw fault(build.source, place, 'an ssh agent is required, and SSH_AUTH_SOCK is not set')
      return undefined
    }
    const target = absolute(value('target') ?? '/run/buildkit/ssh_agent.0')
    return { target, mount: { source: resolve(socket), target }, key: 'ssh' }
  }
  const target = absolute(value('target') ?? '')
  const from = value('from')
  const wanted = value('source') ?? ''
  if (type === 'cache') {
    const id = value('id') ?? target
    const sharing = value('sharing') ?? 'shared'
    const name = createHash('sha256').update(id).digest('hex').slice(0, 32)
    const directory = sharing === 'private' ? `${build.place()}.cache` : join(build.store.home, 'build', 'caches', name)
    const lock = sharing === 'locked' ? await lockFile(await lockPath(build, name), build.signal) : undefined
    const made = await mkdir(directory, { recursive: true, mode: 0o700 })
    if (made !== undefined) {
      await chmod(directory, Number.parseInt(value('mode') ?? '755', 8))
      if (process.geteuid?.() === 0) await chown(directory, ids.uid, ids.gid)
    }
    return { target, mount: { source: directory, target, readonly: options['readonly'] === 'true' }, key: `cache ${id}`, ...(lock === undefined ? {} : { lock }) }
  }
  return await bind(build, stages, step, { place, from, wanted, target, writable: options['readwrite'] === 'true' })
}

interface Bind {
  readonly place: RunInstruction['place']
  readonly from: string | undefined
  readonly wanted: string
  readonly target: string
  readonly writable: boolean
}

/** Files of the context or another stage, as a copy: links in them lead nowhere else, and what is written is thrown away. */
async function bind(build: Build, stages: StageRunner, { index }: Step, { place, from, wanted, target, writable }: Bind): Promise<Opened> {
  const tree = from === undefined ? await build.context.tree() : stackTree(await settledStack(await stages.named(from, index)))
  const path = posix.normalize(`/${wanted}`).slice(1)
  const found = await tree.find(path, true)
  if (found === undefined) throw fault(build.source, place, `the mount's source "${wanted}" is not ${from === undefined ? 'in the build context' : `in ${from}`}`)
  const isFile = !found.stat.isDirectory()
  const entries = await planCopy(tree, {
    sources: [path === '' ? '.' : path], destination: isFile ? '/file' : '/', intoDirectory: !isFile, exclude: [], parents: false, owner: undefined, keepOwner: from !== undefined, chmod: undefined,
  }).catch((error: unknown) => {
    if (error instanceof NothingFound) throw fault(build.source, place, `"${wanted}" is not there`)
    throw error
  })
  const hash = createHash('sha256')
  await hashEntries(hash, entries)
  const copy = layerPlace(build.place())
  const { produced } = await packLayer(entries, { ...copy, lowers: [], latest: build.epoch })
  await produced
  const source = isFile ? join(copy.directory, 'file') : copy.directory
  return { target, mount: { source, target, readonly: !writable }, key: `bind ${hash.digest('hex')}` }
}

async function lockPath({ store }: Build, name: string): Promise<string> {
  await mkdir(join(store.home, 'build', 'caches'), { recursive: true, mode: 0o700 })
  return join(store.home, 'locks', `cache-${name}`)
}

async function secretOf({ options }: Build, id: string): Promise<Buffer | string | undefined> {
  const given = options.secrets?.[id]
  if (given === undefined) return undefined
  if ('value' in given) return given.value
  if ('env' in given) return process.env[given.env]
  const size = await stat(given.file).then(({ size: bytes }) => bytes, (cause: unknown) => {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `The file of the secret "${id}" cannot be read: ${given.file}`, { cause })
  })
  // Docker's limit, so that a build that works here works there.
  if (size > 500 * 1024) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `The secret "${id}" has ${String(size)} bytes; at most 500 KiB are allowed`)
  return await readFile(given.file)
}
