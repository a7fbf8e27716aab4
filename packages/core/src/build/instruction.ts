import { posix } from 'node:path'

import { signalNumber } from '../container/signals.js'
import { parseDuration } from '../units.js'
import type { Build } from './builder.js'
import { applyCopy } from './files.js'
import { fault } from './dockerfile/fault.js'
import type { Command, HealthcheckInstruction, Instruction } from './dockerfile/types.js'
import { directoryLayer } from './layer.js'
import { applyRun } from './run.js'
import type { StageRunner } from './stage.js'
import { nextKey, withEnv, type BuildState, type HistoryEntry, type RawConfig } from './state.js'
import { expandAt, expandListAt, lookupIn } from './variables.js'

/** An instruction about to be applied. */
export interface Step {
  readonly state: BuildState
  readonly instruction: Instruction
  /** `build 2/5` */
  readonly label: string
  /** The stage's number. */
  readonly index: number
  readonly globalArgs: Readonly<Record<string, string>>
}

/** What an instruction makes of a state. */
export async function apply(build: Build, stages: StageRunner, step: Step): Promise<BuildState> {
  const { instruction, state } = step
  if (instruction.kind === 'RUN') return await applyRun(build, stages, step, instruction)
  if (instruction.kind === 'COPY' || instruction.kind === 'ADD') return await applyCopy(build, stages, step, instruction)
  if (instruction.kind === 'ARG') return withArgs(build, step)
  if (instruction.kind === 'FROM') return state
  const config = configAfter(build, step)
  const text = textOf(instruction, state.config, config)
  const next = { ...noted(state, config, text, shownOf(instruction, config) ?? text), ownCmd: state.ownCmd || instruction.kind === 'CMD' }
  if (instruction.kind !== 'WORKDIR') return next
  return await directoryLayer(build, { ...step, state: next }, config.WorkingDir ?? '/')
}

function noted(state: BuildState, config: RawConfig, text: string, shown: string): BuildState {
  return { ...state, config, history: [...state.history, entryOf(state, shown)], key: nextKey(state.key, text) }
}

/** What made no layer is as old as what it stands on. */
function entryOf({ history }: BuildState, text: string): HistoryEntry {
  const created = history.findLast(entry => entry.created !== undefined)?.created
  return { ...(created === undefined ? {} : { created }), created_by: text, empty_layer: true }
}

/** As the history tells it, where that is not the whole setting: what the instruction itself says, expanded. */
function shownOf(instruction: Instruction, { Env = [], Labels = {}, ...after }: RawConfig): string | undefined {
  const { kind } = instruction
  if (kind === 'ENV' || kind === 'LABEL') {
    const all = kind === 'ENV' ? Env : Object.entries(Labels).map(pair => pair.join('='))
    const own = all.filter(one => instruction.pairs.some(({ name }) => one.startsWith(`${name}=`)))
    return own.length === 0 ? undefined : `${kind} ${own.join(' ')}`
  }
  if (kind === 'USER') return `USER ${after.User ?? ''}`
  if (kind === 'WORKDIR') return `WORKDIR ${after.WorkingDir ?? ''}`
  return undefined
}

/** All that an instruction means, on one line. */
function textOf({ kind, source }: Instruction, before: RawConfig, after: RawConfig): string {
  const changed = Object.keys(after).find(name => JSON.stringify(after[name]) !== JSON.stringify(before[name]))
  return changed === undefined ? source : `${kind} ${JSON.stringify(after[changed])}`
}

function withArgs(build: Build, { state, instruction, globalArgs }: Step): BuildState {
  if (instruction.kind !== 'ARG') return state
  let args = state.args
  for (const { name, value } of instruction.args) {
    const given = build.options.buildArgs?.[name]
    const own = value === undefined ? globalArgs[name] : expandAt(build.source, instruction.place, value, lookupIn({ config: state.config, args }), build.escape)
    const chosen = given ?? own
    if (chosen !== undefined) args = { ...args, [name]: chosen }
  }
  return { ...state, args, history: [...state.history, entryOf(state, instruction.source)] }
}

/** The image's settings after an instruction that changes them. */
export function configAfter(build: Pick<Build, 'source' | 'escape'>, { state, instruction }: Pick<Step, 'state' | 'instruction'>): RawConfig {
  const { config } = state
  const { source, escape } = build
  const { place } = instruction
  const lookup = lookupIn(state)
  const expand = (text: string): string => expandAt(source, place, text, lookup, escape)
  const expandList = (words: readonly string[]): readonly string[] => words.flatMap(word => expandListAt(source, place, word, lookup, escape))
  switch (instruction.kind) {
    case 'ENV':
      // All values see the environment before the instruction.
      return { ...config, Env: instruction.pairs.reduce((env, { name, value }) => withEnv(env, expand(name), expand(value)), config.Env ?? []) }
    case 'LABEL':
      return { ...config, Labels: { ...config.Labels, ...Object.fromEntries(instruction.pairs.map(({ name, value }) => [expand(name), expand(value)])) } }
    case 'CMD':
      return { ...config, Cmd: commandWords(instruction.command, config) }
    case 'ENTRYPOINT': {
      // A base image's CMD was meant for its own entrypoint; this stage's own stays.
      const { Cmd, ...rest } = config
      const own = state.ownCmd && Cmd !== undefined ? { Cmd } : {}
      return { ...rest, ...own, Entrypoint: commandWords(instruction.command, config) }
    }
    case 'SHELL':
      return { ...config, Shell: instruction.words }
    case 'EXPOSE':
      return { ...config, ExposedPorts: { ...config.ExposedPorts, ...Object.fromEntries(expandList(instruction.words).flatMap(word => portsOf(build, instruction, word)).map(port => [port, {}])) } }
    case 'VOLUME':
      return { ...config, Volumes: { ...config.Volumes, ...Object.fromEntries(instruction.words.map(word => [expand(word), {}])) } }
    case 'USER':
      return { ...config, User: expand(instruction.value) }
    case 'WORKDIR': {
      const path = expand(instruction.value)
      return { ...config, WorkingDir: posix.resolve('/', config.WorkingDir ?? '/', path) }
    }
    case 'STOPSIGNAL':
      return { ...config, StopSignal: signalOf(build, instruction, expand(instruction.value)) }
    case 'MAINTAINER':
      return config
    case 'HEALTHCHECK':
      return { ...config, Healthcheck: healthcheckOf(build, instruction, config) }
    case 'ONBUILD':
      return { ...config, OnBuild: [...(config.OnBuild ?? []), instruction.trigger] }
    default:
      return config
  }
}

export function commandWords(command: Command, { Shell = ['/bin/sh', '-c'] }: RawConfig): readonly string[] {
  return command.form === 'exec' ? command.words : command.text === '' ? [] : [...Shell, command.text]
}

/** `80`, `80/udp`, `8000-8002`. */
function portsOf(build: Pick<Build, 'source'>, instruction: Instruction, word: string): readonly string[] {
  const [, first, last = first, protocol = 'tcp'] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(word) ?? []
  const [from, to] = [Number(first), Number(last)]
  if (first === undefined || from < 1 || to > 65_535 || to < from) {
    throw fault(build.source, instruction.place, `"${word}" is no port`, 'EXPOSE 80, 53/udp or 8000-8002')
  }
  return Array.from({ length: to - from + 1 }, (_, nth) => `${String(from + nth)}/${protocol.toLowerCase()}`)
}

function signalOf(build: Pick<Build, 'source'>, { place }: Instruction, text: string): string {
  try {
    signalNumber(text)
    return text
  } catch {
    throw fault(build.source, place, `"${text}" is no signal`, 'Such as SIGTERM, or a number.')
  }
}

function healthcheckOf(build: Pick<Build, 'source'>, instruction: HealthcheckInstruction, config: RawConfig): object {
  const { command, interval, timeout, startPeriod, startInterval, retries, place } = instruction
  if (command === undefined) return { Test: ['NONE'] }
  const times = { Interval: interval, Timeout: timeout, StartPeriod: startPeriod, StartInterval: startInterval }
  const nanoseconds = Object.entries(times).flatMap(([name, text]) => {
    if (text === undefined) return []
    try {
      return [[name, Math.round(parseDuration(text) * 1e6)] as const]
    } catch {
      throw fault(build.source, place, `"${text}" is no duration`, 'Such as 5s or 1m30s.')
    }
  })
  if (retries !== undefined && !/^\d+$/.test(retries)) throw fault(build.source, place, `--retries is a number, not "${retries}"`)
  const test = command.form === 'exec' ? ['CMD', ...command.words]
    : config.Shell === undefined ? ['CMD-SHELL', command.text] : ['CMD', ...config.Shell, command.text]
  return { Test: test, ...Object.fromEntries(nanoseconds), ...(retries === undefined ? {} : { Retries: Number(retries) }) }
}
