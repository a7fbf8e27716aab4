import { writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'

import type { BuildEvent, BuildOptions, PullProgress } from '@mayfly/core'

import { openProgress, type Progress } from '../progress.js'
import { pullBars } from '../pull-progress.js'

interface Flags {
  readonly file?: string
  readonly tag?: readonly string[]
  readonly buildArg?: readonly string[]
  readonly target?: string
  readonly label?: readonly string[]
  readonly cache: boolean
  readonly pull?: boolean
  readonly platform?: string
  readonly secret?: readonly string[]
  readonly buildContext?: readonly string[]
  readonly addHost?: readonly string[]
  readonly network?: string
  readonly shmSize?: string
  readonly iidfile?: string
  readonly quiet?: boolean
}

/** `mayfly build`: lines of progress on standard error, the image's id on standard output with -q. */
export async function build(context: string, flags: Flags): Promise<void> {
  const { build: make } = await import('@mayfly/core')
  const input = context === '-' || flags.file === '-' ? await standardInput(context) : undefined
  const cancel = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => cancel.abort())
  const progress = openProgress({ quiet: flags.quiet })
  const options: BuildOptions = {
    context: context === '-' ? input?.tar ?? Readable.from([]) : context,
    ...(input?.dockerfile === undefined ? {} : { dockerfile: input.dockerfile }),
    ...(flags.file === undefined || flags.file === '-' ? {} : { file: flags.file }),
    tags: flags.tag ?? [],
    buildArgs: pairs(flags.buildArg),
    ...(flags.target === undefined ? {} : { target: flags.target }),
    ...(flags.label === undefined ? {} : { labels: pairs(flags.label) }),
    noCache: !flags.cache,
    pull: flags.pull === true,
    ...(flags.platform === undefined ? {} : { platform: flags.platform }),
    secrets: Object.fromEntries((flags.secret ?? []).map(secret)),
    contexts: pairs(flags.buildContext),
    ...(flags.addHost === undefined ? {} : { extraHosts: Object.fromEntries(flags.addHost.map((text) => split(text, text.includes('=') ? '=' : ':'))) }),
    ...(flags.network === undefined ? {} : { network: networkOf(flags.network) }),
    ...(flags.shmSize === undefined ? {} : { shmSize: flags.shmSize }),
    signal: cancel.signal,
    ...(flags.quiet === true ? {} : { onProgress: shown(progress) }),
  }
  try {
    const { id, tags } = await make(options)
    if (flags.iidfile !== undefined) await writeFile(flags.iidfile, id)
    progress.end()
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

/** A tar is told from a Dockerfile by its bytes. */
async function standardInput(context: string): Promise<{ readonly dockerfile?: string, readonly tar?: Readable }> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) chunks.push(chunk)
  const bytes = Buffer.concat(chunks)
  const isTar = context === '-' && (bytes.subarray(257, 262).toString() === 'ustar' || (bytes[0] === 0x1f && bytes[1] === 0x8b))
  return isTar ? { tar: Readable.from([bytes]) } : { dockerfile: bytes.toString('utf8') }
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
    throw Object.assign(new Error(`Invalid secret ${JSON.stringify(text)}`), { code: 'ERR_MAYFLY_OPTION_INVALID', hint: '--secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE' })
  }
  return [id, file === undefined ? { env: env ?? id } : { file }]
}

function networkOf(text: string): 'default' | 'none' | 'host' {
  if (text === 'default' || text === 'none' || text === 'host') return text
  throw Object.assign(new Error(`Invalid network ${JSON.stringify(text)}`), { code: 'ERR_MAYFLY_OPTION_INVALID', hint: 'default, none or host' })
}
