import { existsSync } from 'node:fs'

import type { Container, RunOptions } from '@mayfly/core'

import { invalid } from '../action.js'
import { interruptible } from '../interrupt.js'
import { ask } from '../keeper.js'
import { hasBars, openProgress } from '../progress.js'
import { showPull } from '../pull-progress.js'
import type { RunFlags } from '../run-flags.js'
import { networks, runOptions } from '../run-options.js'
import { checkDetachKeys, exitCode, join, requireTerminal, type Passed } from '../session.js'

/** `mayfly run`: in the foreground until the container ends, or left to the keeper. */
export async function run(image: string, words: readonly string[], flags: RunFlags): Promise<void> {
  const options = runOptions(words, flags)
  const named = networks(flags)
  checkDetachKeys(flags.detachKeys)
  const passed = streams(flags)
  if (flags.rm === true && flags.restart !== undefined && flags.restart !== 'no') throw invalid('--rm and --restart contradict each other', 'Leave one of them out.')
  if (flags.detach === true && flags.attach !== undefined) throw invalid('-d and --attach contradict each other', 'Leave one of them out.')
  if (flags.detach !== true) requireTerminal(flags.interactive, flags.tty)
  // Nobody looks for what is gone with this command; all others stay where they can be found.
  const alone = flags.rm === true && flags.detach !== true && !(flags.interactive === true && flags.tty === true)
    && named.length === 0 && flags.cidfile === undefined && flags.volumesFrom === undefined && !sharesOther(flags)
  if (alone) return await foreground(image, options, flags, passed)
  const request = await keptRequest(image, options, flags)
  if (request === undefined) return
  if (flags.detach === true) {
    const id = await ask({ do: 'run', ...request }, { start: true })
    await tell(String(id), flags)
    return
  }
  const { attached } = await import('./attached.js')
  await attached({
    request: { do: 'run', ...request }, tty: flags.tty === true, input: flags.interactive === true, detachKeys: flags.detachKeys,
    sigProxy: flags.sigProxy !== false, passed, onId: (id) => written(id, flags),
  })
}

/** `mayfly create`: a container that has not been started. */
export async function create(image: string, words: readonly string[], flags: RunFlags): Promise<void> {
  const request = await keptRequest(image, runOptions(words, flags), flags)
  if (request === undefined) return
  await tell(String(await ask({ do: 'create', ...request }, { start: true })), flags)
}

/** Processes, a name or a network of another container: only that one's run can share them. */
function sharesOther({ network = [], net = [], ipc, pid, uts }: RunFlags): boolean {
  return [...network, ...net, ipc, pid, uts].some((mode) => mode?.startsWith('container:') === true)
}

/** What the keeper is asked for, once the image is there; nothing when somebody ended the wait for it. */
async function keptRequest(image: string, options: RunOptions, flags: RunFlags): Promise<object | undefined> {
  if (flags.cidfile !== undefined && existsSync(flags.cidfile)) throw invalid(`The file of the id ${flags.cidfile} is there already`, 'Remove it, if the container it names is gone.')
  const { parseRestartPolicy, keptMounts } = await import('@mayfly/core/engine')
  const restart = parseRestartPolicy(flags.restart ?? 'no')
  const shared = await Promise.all((flags.volumesFrom ?? []).map(keptMounts))
  const mounts = [...options.mounts ?? [], ...shared.flat()]
  if (!await pulled(image, flags)) return undefined
  return {
    image, networks: networks(flags), remove: flags.rm === true, restart,
    ...(flags.stopTimeout === undefined ? {} : { stopTimeout: flags.stopTimeout * 1000 }),
    // What was pulled here, with this user's credentials, is there now.
    options: { ...options, pull: options.pull === 'never' ? 'never' : 'missing', ...(mounts.length === 0 ? {} : { mounts }) },
  }
}

async function tell(id: string, flags: RunFlags): Promise<void> {
  await written(id, flags)
  process.stdout.write(`${id}\n`)
}

async function written(id: string, { cidfile }: RunFlags): Promise<void> {
  if (cidfile === undefined) return
  const { writeFile } = await import('node:fs/promises')
  await writeFile(cidfile, id, { flag: 'wx' }).catch((cause: unknown) => {
    throw invalid(`The file of the id ${cidfile} cannot be written: ${(cause as Error).message}`, 'It must not exist yet; the container is there.')
  })
}

/** Has an image come where it can be seen; false when somebody ended it. */
async function pulled(image: string, { pull, platform, quiet }: RunFlags): Promise<boolean> {
  if (pull === 'never') return true
  const { hasImage } = await import('@mayfly/core/engine')
  if (pull === 'missing' && await hasImage(image, platform)) return true
  const { openStore, parsePlatform, parseReference, pullImage } = await import('@mayfly/core/engine')
  const progress = openProgress({ quiet: quiet === true || !hasBars(process.stderr) })
  try {
    await interruptible(async (signal) => {
      await pullImage(await openStore(), parseReference(image), {
        policy: pull, signal, onProgress: showPull(progress), ...(platform === undefined ? {} : { platform: parsePlatform(platform) }),
      })
    })
  } finally {
    progress.end()
  }
  return process.exitCode === undefined
}

function streams({ attach, interactive }: RunFlags): Passed {
  const wanted = attach?.map((one) => one.toLowerCase())
  const odd = wanted?.find((one) => !['stdin', 'stdout', 'stderr'].includes(one))
  if (odd !== undefined) throw invalid(`There is no stream ${JSON.stringify(odd)}`, 'There are stdin, stdout and stderr.')
  const has = (name: string): boolean => wanted === undefined || wanted.includes(name)
  return { stdin: interactive === true && has('stdin'), stdout: has('stdout'), stderr: has('stderr') }
}

async function foreground(image: string, options: RunOptions, flags: RunFlags, passed: Passed): Promise<void> {
  const { run: start } = await import('@mayfly/core')
  const cancel = new AbortController()
  let container: Container | undefined
  const pending: string[] = []
  if (flags.sigProxy !== false) {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
      process.on(name, () => {
        // Before the container is there, the one signal that matters is the wish to end.
        if (container === undefined) { pending.push(name); cancel.abort() }
        else void container.kill(name).catch(() => undefined)
      })
    }
  }
  // What is no terminal shows what the program prints, and nothing else.
  const progress = openProgress({ quiet: flags.quiet === true || !hasBars(process.stderr) })
  try {
    container = await start(image, {
      ...options,
      onPull: showPull(progress),
      hold: true,
      signal: cancel.signal,
      ready: { description: 'the program', acceptsExit: true, ready: async () => undefined },
    })
    progress.end()
    const streams = await container.attach({ logs: true })
    const ended = await join(streams, { input: passed.stdin, tty: flags.tty === true, detachKeys: '', closes: true, passed })
    if (ended !== undefined) process.exitCode = exitCode(ended)
  } catch (error) {
    if (pending.length === 0) throw error
    process.exitCode = 130
  } finally {
    progress.end()
    await container?.[Symbol.asyncDispose]()
  }
}
