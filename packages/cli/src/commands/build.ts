import { writeFile } from 'node:fs/promises'

import type { BuildEvent, BuildOptions, PullProgress } from '@mayfly/core'

import { limitOptions, type StepLimitFlags } from '../limit-flags.js'
import { openProgress, type Progress } from '../progress.js'
import { pullBars } from '../pull-progress.js'

interface Flags extends StepLimitFlags {
  readonly file?: string
  readonly tag?: readonly string[]
  readonly buildArg?: readonly string[]
  readonly target?: string
  readonly label?: readonly string[]
  readonly cache: boolean
  readonly pull?: boolean
  readonly platform?: string
  /** Of --no-cache-filter: commander takes its `no` for a negation. */
  readonly cacheFilter: readonly string[]
  readonly secret?: readonly string[]
  readonly ssh?: readonly string[]
  readonly ulimit?: readonly string[]
  readonly buildContext?: readonly string[]
  readonly addHost?: readonly string[]
  readonly network?: string
  readonly shmSize?: string
  readonly iidfile?: string
  readonly quiet?: boolean
  readonly push?: boolean
}

/** `mayfly build`: lines of progress on standard error, the image's id on standard output with -q. */
export async function build(context: string, flags: Flags): Promise<void> {
  const { build: make } = await import('@mayfly/core')
  if (context === '-' && flags.file === '-') throw usage('Standard input cannot be both the context and the Dockerfile', 'mayfly build -f - DIRECTORY')
  const cancel = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => cancel.abort())
  const progress = openProgress({ quiet: flags.quiet })
  const options: BuildOptions = {
    // A tar, or a Dockerfile without a context: told by its bytes.
    context: context === '-' ? process.stdin : context,
    ...(flags.file === '-' ? { dockerfile: await standardInput() } : {}),
    ...(flags.file === undefined || flags.file === '-' ? {} : { file: flags.file }),
    tags: flags.tag ?? [],
    buildArgs: pairs(flags.buildArg),
    ...(flags.target === undefined ? {} : { target: flags.target }),
    ...(flags.label === undefined ? {} : { labels: pairs(flags.label) }),
    noCache: !flags.cache,
    noCacheFilter: flags.cacheFilter.flatMap((names) => names.split(',')),
    pull: flags.pull === true,
    ...(flags.platform === undefined ? {} : { platform: flags.platform }),
    secrets: Object.fromEntries((flags.secret ?? []).map(secret)),
    ssh: Object.fromEntries((flags.ssh ?? []).flatMap(agent)),
    ...(flags.ulimit === undefined ? {} : { ulimits: Object.fromEntries(flags.ulimit.map(limit)) }),
    contexts: pairs(flags.buildContext),
    ...(flags.addHost === undefined ? {} : { extraHosts: Object.fromEntries(flags.addHost.map((text) => split(text, text.includes('=') ? '=' : ':'))) }),
    ...(flags.network === undefined ? {} : { network: networkOf(flags.network) }),
    ...(flags.shmSize === undefined ? {} : { shmSize: flags.shmSize }),
    limits: limitOptions(flags),
    signal: cancel.signal,
    ...(flags.quiet === true ? {} : { onProgress: shown(progress) }),
  }
  try {
    const { id, tags } = await make(options)
    if (flags.iidfile !== undefined) await writeFile(flags.iidfile, id)
    progress.end()
    if (flags.push === true) for (const tag of tags) await (await import('./push.js')).push(tag, flags.quiet === true ? { quiet: true } : {})
    if (flags.quiet === true) process.stdout.write(`${id}\n`)
    else process.stderr.write(`${[`built ${id}`, ...tags.map((tag) => `named ${tag}`)].join('\n')}\n`)
  } catch (error) {
    if (!cancel.signal.aborted) throw error
    process.exitCode = 130
  } finally {
    progress.end()
  }
}

function shown(progress: Progress): (event: BuildEvent) => void {
  const pulls = new Map<number, PullProgress>()
  return (event) => {
    if (event.kind === 'pull') pulls.set(event.step.id, event.progress)
    const ended = event.kind === 'step' && event.state !== 'started' && pulls.delete(event.step.id)
    if (event.kind === 'pull' || (ended && pulls.size > 0)) progress.show([...pulls.values()].flatMap((one) => pullBars(one)))
    else if (ended) progress.end()
    show(event, progress)
  }
}

function show(event: BuildEvent, progress: Progress): void {
  if (event.kind === 'warning') progress.line(`warning: ${event.text}`)
  if (event.kind === 'output') progress.line(`#${String(event.step.id)} ${event.text}`)
  if (event.kind !== 'step') return
  const { id, label, text } = event.step
  const [first = '', ...more] = text.split('\n')
  const title = `${label === '' ? '' : `[${label}] `}${first}${more.length > 0 ? ' …' : ''}`
  if (event.state === 'started') progress.line(`#${String(id)} ${title}`)
  else progress.line(`#${String(id)} ${event.state.toUpperCase()}${event.state === 'done' ? ` ${(event.ms / 1000).toFixed(1)}s` : ''}`)
}

async function standardInput(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function usage(message: string, hint: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_MAYFLY_OPTION_INVALID', hint })
}

/** `default`, which is SSH_AUTH_SOCK, or `id=socket`. */
function agent(text: string): [string, string][] {
  if (text.includes('=')) return [split(text, '=')]
  const socket = process.env['SSH_AUTH_SOCK']
  return socket === undefined ? [] : [[text, socket]]
}

/** `nofile=1024:2048` */
function limit(text: string): [string, { soft: number; hard: number }] {
  const [, name, soft, hard = soft] = /^(\w+)=(-?\d+)(?::(-?\d+))?$/.exec(text) ?? []
  if (name === undefined) throw usage(`Invalid limit ${JSON.stringify(text)}`, '--ulimit nofile=1024:2048')
  return [name, { soft: Number(soft), hard: Number(hard) }]
}

function pairs(texts: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(texts.flatMap((text) => {
    if (text.includes('=')) return [split(text, '=')]
    const value = process.env[text]
    return value === undefined ? [] : [[text, value] as [string, string]]
  }))
}

function split(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return [text.slice(0, at), text.slice(at + 1)]
}

function secret(text: string): [string, { file: string } | { env: string }] {
  const fields = new Map(text.split(',').map((field) => split(field, '=')))
  const id = fields.get('id')
  const file = fields.get('src') ?? fields.get('source')
  const env = fields.get('env') ?? (fields.get('type') === 'env' || file === undefined ? id : undefined)
  if (id === undefined || (file === undefined && env === undefined)) {
    throw usage(`Invalid secret ${JSON.stringify(text)}`, '--secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE')
  }
  return [id, file === undefined ? { env: env ?? id } : { file }]
}

function networkOf(text: string): 'default' | 'none' | 'host' {
  if (text === 'default' || text === 'none' || text === 'host') return text
  throw usage(`Invalid network ${JSON.stringify(text)}`, 'default, none or host')
}
