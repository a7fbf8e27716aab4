import { lstat, mkdir, rmdir, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { startImage } from '../container/start.js'
import type { RunOptions } from '../container/types.js'
import { digestOf } from '../digest.js'
import { isMayflyError } from '../errors.js'
import type { Image } from '../images/index.js'
import { NAME_FILES, resolveInStack, STUBS, type StackLayer } from '../layers/index.js'
import { parseReference } from '../reference.js'
import type { Build } from './builder.js'
import { fault } from './dockerfile/fault.js'
import type { RunInstruction } from './dockerfile/types.js'
import type { Step } from './instruction.js'
import { layerPlace } from './keep.js'
import type { OpenMounts } from './mounts.js'
import { runNetwork } from './network.js'
import { freshLayer, type FreshLayer } from './pack.js'
import { stackOf, type BuildState } from './state.js'
import type { BuildStep } from './types.js'

/** Ready as soon as it runs: it is waited for to its end. */
const STARTED = { description: 'the start', ready: () => Promise.resolve(), acceptsExit: true }

/** A RUN that no earlier build did. */
export interface Execution {
  readonly instruction: RunInstruction
  readonly step: BuildStep
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  /** What ARG gives. */
  readonly variables: Readonly<Record<string, string>>
  readonly network: 'default' | 'none' | 'host'
  readonly mounts: OpenMounts
}

/** Runs a command in a container over a state; what it changed is a layer. Throws ERR_MAYFLY_DOCKERFILE_INVALID. */
export async function execute(build: Build, { state }: Pick<Step, 'state'>, execution: Execution): Promise<FreshLayer> {
  const { instruction, step, mounts } = execution
  const directory = layerPlace(build.place())
  const options = optionsOf(build, execution, await runNetwork(build, execution.network))
  const container = await startImage(imageOf(state), options).catch((error: unknown) => { throw failed(build, instruction, error) })
  try {
    const tail: string[] = []
    for await (const { stream, text } of container.logs({ follow: true })) {
      tail.push(text)
      if (tail.length > 20) tail.shift()
      build.progress.output(step, stream, text)
    }
    const { code, signal, oomKilled } = await container.ending
    build.signal.throwIfAborted()
    if (code !== 0) {
      const why = oomKilled ? 'was ended for its memory' : signal === undefined ? `ended with status ${String(code)}` : `was ended by ${signal}`
      throw fault(build.source, instruction.place, `the command ${why}${tail.length === 0 ? '' : `; it printed last:\n${tail.map(line => `  ${line}`).join('\n')}\n`}`)
    }
    await mkdir(dirname(directory), { recursive: true, mode: 0o700 })
    await container.takeChanges(directory)
  } finally {
    await container[Symbol.asyncDispose]()
  }
  const stack = stackOf(state)
  await removeStubs(directory, stack, mounts.targets)
  return freshLayer({ directory, lowers: stack.map(layer => layer.directory), latest: build.epoch })
}

function optionsOf(build: Build, { instruction, entrypoint, command, variables, mounts }: Execution, network: Pick<RunOptions, 'network'>): RunOptions {
  const { extraHosts, shmSize, ulimits, limits } = build.options
  return {
    entrypoint, command, env: { ...variables, ...mounts.env }, mounts: mounts.mounts, tmpfs: mounts.tmpfs,
    ready: STARTED, scratch: 'disk', driver: 'overlay', labels: { 'mayfly.build': '1' }, signal: build.signal,
    ...network,
    ...(instruction.security === 'insecure' ? { privileged: true } : {}),
    ...(extraHosts === undefined ? {} : { extraHosts }),
    ...(shmSize === undefined ? {} : { shmSize }),
    ...(ulimits === undefined ? {} : { ulimits }),
    ...limits,
  } as RunOptions
}

/** The files of a state, as an image for a container. */
function imageOf(state: BuildState): Image {
  const stack = stackOf(state)
  const { config, platform, base } = state
  return {
    reference: base?.reference ?? parseReference('scratch'), id: digestOf(state.key), digest: digestOf(state.key), size: 0, stack,
    layers: [...new Set(stack.map(({ directory }) => directory))], architecture: platform.architecture,
    config: {
      Env: config.Env ?? [], Cmd: config.Cmd ?? [], Entrypoint: config.Entrypoint ?? [], ExposedPorts: [], Volumes: [], Labels: {},
      User: config.User ?? '', WorkingDir: config.WorkingDir ?? '',
    },
  }
}

/** Takes out of a container's changes the files and mount points that were put there for its run alone. */
async function removeStubs(upper: string, below: readonly StackLayer[], targets: readonly string[]): Promise<void> {
  for (const path of NAME_FILES) await removeStub(upper, path, true)
  for (const target of [...STUBS, ...targets]) {
    // Where the image's own links put it.
    const found = await resolveInStack(below, target.replace(/\/+$/, ''))
    if (found === undefined) continue
    // What the layers below have stays theirs; directories made on the way go as far up as they are empty and ours.
    for (let at = found.path; at !== '' && at !== '.'; at = dirname(at)) {
      if ((await resolveInStack(below, at, false))?.stat !== undefined) break
      if (!await removeStub(upper, at, false)) break
    }
  }
}

/**
 * Removes an empty file or directory, or with `whole` any file. The command may have put a link where a directory was: no
 * link is followed on the way (CVE-2024-23652). Answers whether nothing is there now.
 */
async function removeStub(upper: string, path: string, whole: boolean): Promise<boolean> {
  const parts = path.split('/')
  for (const at of parts.keys()) {
    const there = await lstat(join(upper, ...parts.slice(0, at + 1))).catch(missing)
    if (there === undefined) return true
    if (at < parts.length - 1) {
      if (!there.isDirectory()) return true
    } else if (there.isDirectory()) {
      return !whole && await rmdir(join(upper, path)).then(() => true, notEmpty)
    } else {
      if (!there.isFile() || (!whole && there.size > 0)) return false
      await unlink(join(upper, path))
    }
  }
  return true
}

function missing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}

function notEmpty(error: unknown): false {
  if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  return false
}

function failed(build: Build, { place }: RunInstruction, error: unknown): unknown {
  if (!isMayflyError(error) || error.code === 'ERR_MAYFLY_ABORTED') return error
  if (!['ERR_MAYFLY_COMMAND_NOT_FOUND', 'ERR_MAYFLY_COMMAND_NOT_EXECUTABLE', 'ERR_MAYFLY_OPTION_INVALID'].includes(error.code)) return error
  return fault(build.source, place, error.message, error.hint)
}

