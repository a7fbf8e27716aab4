import type { MayflyError } from '../../errors.js'
import { nearestWord } from '../../nearest.js'
import { commandOf } from './command.js'
import { readMount } from './mount.js'
import type { CopyInstruction, Heredoc, Instruction, Pair, Place } from './types.js'
import { jsonWords, splitWords, type Flag, type Word } from './words.js'

/** One instruction being read. */
export interface Reading {
  readonly name: string
  /** The whole line; `rest` is where the words behind the flags begin. */
  readonly text: string
  readonly rest: number
  readonly flags: readonly Flag[]
  readonly heredocs: readonly Heredoc[]
  readonly escape: string
  readonly place: Place
  refuse(offset: number, message: string, hint?: string): MayflyError
}

type Reader = (reading: Reading) => Instruction

export const INSTRUCTIONS = {
  FROM: readFrom,
  RUN: readRun,
  COPY: readCopy,
  ADD: readCopy,
  ARG: readArg,
  ENV: reading => ({ ...base(reading, []), kind: 'ENV', pairs: pairsOf(reading, true) }),
  LABEL: reading => ({ ...base(reading, []), kind: 'LABEL', pairs: pairsOf(reading, true) }),
  CMD: reading => ({ ...base(reading, []), kind: 'CMD', command: commandOf(reading) }),
  ENTRYPOINT: reading => ({ ...base(reading, []), kind: 'ENTRYPOINT', command: commandOf(reading) }),
  SHELL: readShell,
  EXPOSE: reading => ({ ...base(reading, []), kind: 'EXPOSE', words: needWords(reading).map(({ text }) => text) }),
  VOLUME: reading => ({ ...base(reading, []), kind: 'VOLUME', words: jsonWords(restOf(reading)) ?? needWords(reading).map(({ text }) => text) }),
  USER: reading => ({ ...base(reading, []), kind: 'USER', value: needRest(reading) }),
  WORKDIR: reading => ({ ...base(reading, []), kind: 'WORKDIR', value: needRest(reading) }),
  STOPSIGNAL: reading => ({ ...base(reading, []), kind: 'STOPSIGNAL', value: needRest(reading) }),
  MAINTAINER: reading => ({ ...base(reading, []), kind: 'MAINTAINER', value: needRest(reading) }),
  HEALTHCHECK: readHealthcheck,
  ONBUILD: readOnbuild,
} satisfies Record<string, Reader>

function base(reading: Reading, allowed: readonly string[]): { place: Place; source: string } {
  for (const { name, offset } of reading.flags) {
    if (allowed.includes(name)) continue
    const near = nearestWord(name, allowed)
    const hint = near !== undefined ? `Did you mean --${near}?` : allowed.length > 0 ? `${reading.name} knows ${allowed.map(one => `--${one}`).join(', ')}.` : undefined
    throw reading.refuse(offset, `${reading.name} has no flag --${name}`, hint)
  }
  return { place: reading.place, source: reading.text.trim() }
}

function flagOf({ flags, refuse }: Reading, name: string): string | undefined {
  const given = flags.filter(flag => flag.name === name)
  const [flag, second] = given
  if (second !== undefined) throw refuse(second.offset, `--${name} is given twice`)
  if (flag === undefined) return undefined
  if (flag.value === undefined || flag.value === '') throw refuse(flag.offset, `--${name} needs a value: --${name}=…`)
  return flag.value
}

/** A flag that is there, or says true or false. */
function switchOf({ flags, refuse }: Reading, name: string): boolean | undefined {
  const flag = flags.find(one => one.name === name)
  if (flag === undefined) return undefined
  if (flag.value === undefined || /^(1|t|true)$/i.test(flag.value)) return true
  if (/^(0|f|false)$/i.test(flag.value)) return false
  throw refuse(flag.offset, `--${name} is true or false, not "${flag.value}"`)
}

function restOf({ text, rest }: Reading): string {
  return text.slice(rest).trim()
}

function needRest(reading: Reading): string {
  const rest = restOf(reading)
  if (rest === '') throw reading.refuse(0, `${reading.name} needs a value`)
  return rest
}

function needWords(reading: Reading): readonly Word[] {
  const words = splitWords(reading.text, reading.rest, reading.escape)
  if (words.length === 0) throw reading.refuse(0, `${reading.name} needs at least one value`)
  return words
}

function readFrom(reading: Reading): Instruction {
  const words = needWords(reading)
  const [image, as, name, extra] = words
  const platform = flagOf(reading, 'platform')
  const surplus = extra ?? (as !== undefined && (as.text.toUpperCase() !== 'AS' || name === undefined) ? as : undefined)
  if (surplus !== undefined) throw reading.refuse(surplus.offset, 'FROM takes an image, and AS with a name', 'FROM image AS name')
  if (name !== undefined && !/^[a-z][a-z0-9_.-]*$/i.test(name.text)) {
    throw reading.refuse(name.offset, `"${name.text}" is no name of a stage`, 'A letter, then letters, digits, _, - and dots.')
  }
  return {
    ...base(reading, ['platform']), kind: 'FROM', image: image?.text ?? '',
    ...(name === undefined ? {} : { name: name.text }), ...(platform === undefined ? {} : { platform }),
  }
}

function readArg(reading: Reading): Instruction {
  const args = needWords(reading).map(({ text, offset }) => {
    const [, name, , value] = /^([A-Za-z_][\w.-]*)(=([^]*))?$/.exec(text) ?? []
    if (name === undefined) throw reading.refuse(offset, `"${text}" is no name of a variable`)
    return value === undefined && !text.includes('=') ? { name } : { name, value: value ?? '' }
  })
  return { ...base(reading, []), kind: 'ARG', args }
}

/** `name=value …`, or the older `name rest of the line`. */
function pairsOf(reading: Reading, older: boolean): readonly Pair[] {
  const words = needWords(reading)
  const [first] = words
  if (older && first !== undefined && !first.text.includes('=')) {
    const value = reading.text.slice(first.offset + first.text.length).trim()
    if (value === '') throw reading.refuse(first.offset, `${reading.name} ${first.text} has no value`, `${reading.name} ${first.text}=value`)
    return [{ name: first.text, value }]
  }
  return words.map(({ text, offset }) => {
    const equals = text.indexOf('=')
    if (equals < 0) throw reading.refuse(offset, `"${text}" has no value`, `Quote values with spaces: ${reading.name} name="a value".`)
    if (equals === 0) throw reading.refuse(offset, `${reading.name} needs a name before =`)
    return { name: text.slice(0, equals), value: text.slice(equals + 1) }
  })
}

function readShell(reading: Reading): Instruction {
  const words = jsonWords(restOf(reading))
  if (words === undefined || words.length === 0) throw reading.refuse(reading.rest, 'SHELL takes a JSON array', 'SHELL ["/bin/bash", "-c"]')
  return { ...base(reading, []), kind: 'SHELL', words }
}

function readRun(reading: Reading): Instruction {
  const flags = base(reading, ['mount', 'network', 'security', 'device'])
  const mounts = reading.flags.filter(({ name }) => name === 'mount').map(flag => readMount(reading, flag))
  const network = flagOf(reading, 'network')
  if (network !== undefined && !isOneOf(network, ['default', 'none', 'host'])) throw reading.refuse(offsetOf(reading, 'network'), `--network is default, none or host, not "${network}"`)
  const security = flagOf(reading, 'security')
  if (security !== undefined && !isOneOf(security, ['sandbox', 'insecure'])) throw reading.refuse(offsetOf(reading, 'security'), `--security is sandbox or insecure, not "${security}"`)
  const command = commandOf(reading)
  return { ...flags, kind: 'RUN', command, mounts, ...(network === undefined ? {} : { network }), ...(security === undefined ? {} : { security }) }
}

function isOneOf<T extends string>(value: string, allowed: readonly T[]): value is T {
  return (allowed as readonly string[]).includes(value)
}

function offsetOf({ flags }: Reading, name: string): number {
  return flags.find(flag => flag.name === name)?.offset ?? 0
}

const COPY_FLAGS = ['from', 'chown', 'chmod', 'link', 'parents', 'exclude']
const ADD_FLAGS = ['chown', 'chmod', 'link', 'exclude', 'checksum', 'keep-git-dir', 'unpack']

function readCopy(reading: Reading): CopyInstruction {
  const kind = reading.name === 'ADD' ? 'ADD' : 'COPY'
  const flags = base(reading, kind === 'ADD' ? ADD_FLAGS : COPY_FLAGS)
  const given = jsonWords(restOf(reading)) ?? splitWords(reading.text, reading.rest, reading.escape).map(({ text }) => text)
  const destination = given.at(-1)
  const named = given.slice(0, -1)
  if (destination === undefined || named.length === 0) throw reading.refuse(reading.rest, `${kind} needs at least one source and a destination`, `${kind} source … destination`)
  const heredocs = new Set(reading.heredocs.map(({ name }) => name))
  const sources = named.filter(word => !heredocs.has(/^<<-?["']?([^"']+)["']?$/.exec(word)?.[1] ?? ''))
  const [from, chown, chmod, checksum] = ['from', 'chown', 'chmod', 'checksum'].map(name => flagOf(reading, name))
  const unpack = switchOf(reading, 'unpack')
  return {
    ...flags, kind, sources, destination, heredocs: reading.heredocs,
    link: switchOf(reading, 'link') ?? false,
    parents: switchOf(reading, 'parents') ?? false,
    keepGitDir: switchOf(reading, 'keep-git-dir') ?? false,
    exclude: reading.flags.filter(({ name }) => name === 'exclude').map(({ value }) => value ?? ''),
    ...(from === undefined ? {} : { from }),
    ...(chown === undefined ? {} : { chown }),
    ...(chmod === undefined ? {} : { chmod }),
    ...(checksum === undefined ? {} : { checksum }),
    ...(unpack === undefined ? {} : { unpack }),
  }
}

const HEALTH_FLAGS = { 'interval': 'interval', 'timeout': 'timeout', 'start-period': 'startPeriod', 'start-interval': 'startInterval', 'retries': 'retries' } as const

function readHealthcheck(reading: Reading): Instruction {
  const flags = base(reading, Object.keys(HEALTH_FLAGS))
  const words = splitWords(reading.text, reading.rest, reading.escape)
  const [first, second] = words
  const type = first?.text.toUpperCase()
  if (type === 'NONE') {
    if (second !== undefined || reading.flags.length > 0) throw reading.refuse(second?.offset ?? 0, 'HEALTHCHECK NONE takes nothing else')
    return { ...flags, kind: 'HEALTHCHECK' }
  }
  if (type !== 'CMD' || first === undefined) throw reading.refuse(first?.offset ?? 0, 'HEALTHCHECK is followed by CMD or NONE', 'HEALTHCHECK --interval=5s CMD curl -f http://localhost/')
  const command = commandOf({ ...reading, rest: second?.offset ?? reading.text.length, name: 'HEALTHCHECK CMD' })
  const times = Object.entries(HEALTH_FLAGS).flatMap(([name, field]) => {
    const value = flagOf(reading, name)
    return value === undefined ? [] : [[field, value] as const]
  })
  return { ...flags, kind: 'HEALTHCHECK', command, ...Object.fromEntries(times) }
}

function readOnbuild(reading: Reading): Instruction {
  const trigger = needRest(reading)
  const name = /^\S+/.exec(trigger)?.[0].toUpperCase() ?? ''
  if (['ONBUILD', 'FROM', 'MAINTAINER'].includes(name)) throw reading.refuse(reading.rest, `ONBUILD ${name} is not allowed`)
  if (!Object.hasOwn(INSTRUCTIONS, name)) throw reading.refuse(reading.rest, `unknown instruction ${name}`)
  return { ...base(reading, []), kind: 'ONBUILD', trigger: withHeredocs(trigger, reading.heredocs) }
}

/** Heredocs of a trigger belong to it: it is read again when it fires. */
function withHeredocs(trigger: string, heredocs: readonly Heredoc[]): string {
  return [trigger, ...heredocs.map(({ content, name }) => `${content}${name}`)].join('\n')
}
