import type { Container, RunOptions } from '@mayfly/core'

import { interruptible } from '../interrupt.js'
import { ask } from '../keeper.js'
import { hasBars, openProgress } from '../progress.js'
import { showPull } from '../pull-progress.js'
import { mountOptions } from '../mounts.js'
import { checkDetachKeys, exitCode, join, ownSize, requireTerminal } from '../session.js'
import { variables } from '../variables.js'

interface Flags {
  readonly rm?: boolean
  readonly detach?: boolean
  readonly interactive?: boolean
  readonly tty?: boolean
  readonly detachKeys?: string
  readonly env?: readonly string[]
  readonly envFile?: readonly string[]
  readonly publish?: readonly string[]
  readonly publishAll?: boolean
  readonly network?: readonly string[]
  readonly networkAlias?: readonly string[]
  readonly addHost?: readonly string[]
  readonly dns?: readonly string[]
  readonly dnsSearch?: readonly string[]
  readonly dnsOption?: readonly string[]
  readonly memory?: string
  readonly cpus?: number
  readonly pidsLimit?: number
  readonly user?: string
  readonly workdir?: string
  readonly volume?: readonly string[]
  readonly mount?: readonly string[]
  readonly tmpfs?: readonly string[]
  readonly readOnly?: boolean
  readonly name?: string
  readonly hostname?: string
  readonly entrypoint?: string
  readonly platform?: string
  readonly pull: 'always' | 'missing' | 'never'
}

/** `mayfly run`: in the foreground until the container ends, or handed to the keeper. */
export async function run(image: string, words: readonly string[], flags: Flags): Promise<void> {
  const options = runOptions(words, flags)
  const named = networks(flags)
  checkDetachKeys(flags.detachKeys)
  if (flags.detach !== true) requireTerminal(flags.interactive, flags.tty)
  // The background run has no terminal to show a pull on.
  const shown = hasBars(process.stderr) && flags.pull !== 'never' ? { ...options, pull: 'missing' as const } : options
  const ready = async (): Promise<void> => { if (shown !== options) await pulled(image, flags) }
  if (flags.detach === true) {
    await ready()
    if (process.exitCode !== undefined) return
    const id = await ask({ do: 'run', image, options: { scratch: 'disk', ...shown }, forget: flags.rm === true, ...named }, { start: true })
    process.stdout.write(`${String(id)}\n`)
    return
  }
  // What can be detached from must be able to stay.
  const stays = flags.interactive === true && flags.tty === true
  if (named.networks === undefined && !stays) return await foreground(image, options, flags)
  await ready()
  if (process.exitCode === undefined) await (await import('./attached.js')).attached({ image, options: { scratch: 'disk', ...shown }, detachKeys: flags.detachKeys, ...named })
}

/** Has an image come where it can be seen, until somebody ends it. */
async function pulled(image: string, { pull, platform }: Flags): Promise<void> {
  const { openStore, parsePlatform, parseReference, pullImage } = await import('@mayfly/core/engine')
  const progress = openProgress()
  try {
    await interruptible(async (signal) => {
      await pullImage(await openStore(), parseReference(image), {
        policy: pull, signal, onProgress: showPull(progress), ...(platform === undefined ? {} : { platform: parsePlatform(platform) }),
      })
    })
  } finally {
    progress.end()
  }
}

async function foreground(image: string, options: RunOptions, flags: Flags): Promise<void> {
  const { run: start } = await import('@mayfly/core')
  const cancel = new AbortController()
  let container: Container | undefined
  const pending: string[] = []
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
    process.on(name, () => {
      // Before the container is there, the one signal that matters is the wish to end.
      if (container === undefined) { pending.push(name); cancel.abort() }
      else void container.kill(name).catch(() => undefined)
    })
  }
  // What is no terminal shows what the program prints, and nothing else.
  const progress = openProgress({ quiet: !hasBars(process.stderr) })
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
    const ended = await join(streams, { input: options.stdin === true, tty: flags.tty === true, detachKeys: '', closes: true })
    if (ended !== undefined) process.exitCode = exitCode(ended)
  } catch (error) {
    if (pending.length === 0) throw error
    process.exitCode = 130
  } finally {
    progress.end()
    await container?.[Symbol.asyncDispose]()
  }
}

function runOptions(words: readonly string[], flags: Flags): RunOptions {
  return {
    ...(words.length > 0 ? { command: words } : {}),
    ...(flags.entrypoint === undefined ? {} : { entrypoint: flags.entrypoint === '' ? [] : [flags.entrypoint] }),
    ...(flags.env === undefined && flags.envFile === undefined ? {} : { env: variables(flags.env, flags.envFile) }),
    // Docker's users look for published ports on the host itself.
    ...(flags.publish === undefined ? {} : { ports: flags.publish }),
    ...(flags.publish === undefined && flags.publishAll !== true ? {} : { loopback: true }),
    ...(flags.networkAlias === undefined ? {} : { aliases: flags.networkAlias }),
    ...(flags.addHost === undefined ? {} : { extraHosts: Object.fromEntries(flags.addHost.map(host)) }),
    ...(flags.dns === undefined ? {} : { dns: flags.dns }),
    ...(flags.dnsSearch === undefined ? {} : { dnsSearch: flags.dnsSearch }),
    ...(flags.dnsOption === undefined ? {} : { dnsOptions: flags.dnsOption }),
    ...(mode(flags) === undefined ? {} : { network: mode(flags) }),
    ...mountOptions(flags),
    ...(flags.readOnly === true ? { readonly: true } : {}),
    ...(flags.memory === undefined ? {} : { memory: flags.memory }),
    ...(flags.cpus === undefined ? {} : { cpus: flags.cpus }),
    ...(flags.pidsLimit === undefined ? {} : { pids: flags.pidsLimit }),
    ...(flags.user === undefined ? {} : { user: flags.user }),
    ...(flags.workdir === undefined ? {} : { workdir: flags.workdir }),
    ...(flags.name === undefined ? {} : { name: flags.name }),
    ...(flags.hostname === undefined ? {} : { hostname: flags.hostname }),
    ...(flags.interactive === true ? { stdin: true } : {}),
    ...(flags.tty === true ? { tty: ownSize() ?? true } : {}),
    ...(flags.platform === undefined ? {} : { platform: flags.platform }),
    pull: flags.pull,
  }
}

/** `none`, `host` and `container:NAME` are no networks but what a container has instead. */
function mode({ network = [] }: Flags): 'none' | 'host' | `container:${string}` | undefined {
  const found = network.find((one): one is 'none' | 'host' | `container:${string}` => one === 'none' || one === 'host' || one.startsWith('container:'))
  if (found === undefined || network.length === 1) return found
  throw invalid(`--network ${found} and another network contradict each other`, 'Leave one of them out.')
}

/** Docker's own network is the one that containers are on without a word. */
function networks(flags: Flags): { readonly networks?: readonly string[] } {
  const names = mode(flags) === undefined ? (flags.network ?? []).filter((one) => one !== 'bridge' && one !== 'default') : []
  return names.length === 0 ? {} : { networks: names }
}

/** `NAME:ADDRESS`, or `NAME=ADDRESS`; the address of IPv6 has colons of its own. */
function host(text: string): [string, string] {
  const at = text.search(/[:=]/)
  if (at < 1) throw invalid(`Invalid host ${JSON.stringify(text)}`, 'Give NAME:ADDRESS, such as api:192.0.2.7 or me:host-gateway.')
  return [text.slice(0, at), text.slice(at + 1).replace(/^\[(.*)\]$/, '$1')]
}

function invalid(message: string, hint: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_MAYFLY_OPTION_INVALID', hint })
}
