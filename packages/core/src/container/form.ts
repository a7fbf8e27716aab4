import { MayflyError } from '../errors.js'
import { nearestWord } from '../nearest.js'
import type { RunOptions } from './types.js'

type Form = (value: unknown) => boolean

const flag: Form = (value) => typeof value === 'boolean'
const text: Form = (value) => typeof value === 'string' && value !== '' && !value.includes('\0')
const size: Form = (value) => typeof value === 'number' ? Number.isSafeInteger(value) && value > 0 : typeof value === 'string' && /^[1-9]\d{0,9}[kmg]?b?$/i.test(value)
const whole: Form = (value) => Number.isSafeInteger(value)
const positive: Form = (value) => typeof value === 'number' && value > 0 && Number.isFinite(value)
const object: Form = (value) => typeof value === 'object' && value !== null
const list = (of: Form): Form => (value) => Array.isArray(value) && value.every(of)
const words: Form = (value) => typeof value === 'string' || list((word) => typeof word === 'string')(value)
const table = (of: Form): Form => (value) => isPlain(value) && Object.values(value).every((one) => one === undefined || of(one))
const anyText: Form = (value) => typeof value === 'string'
/** Has more to it than is worth saying twice. */
const intricate: Form = () => false

/**
 * The usual form of every option. What has it is right in form; all else is for the schema to judge, which takes tens of
 * milliseconds to load and is spared whoever makes no mistake.
 */
const USUAL: Readonly<Record<keyof RunOptions, Form>> = {
  env: table(anyText), command: words, entrypoint: words, mounts: list(isUsualMount), tmpfs: list(text),
  memory: size, memorySwap: (value) => value === -1 || size(value), memoryReservation: size, cpus: positive,
  cpuQuota: whole, cpuPeriod: whole, cpuShares: whole, cpusetCpus: text, cpusetMems: text, blkioWeight: whole,
  pids: (value) => value === -1 || whole(value) && Number(value) > 0, user: anyText, groupAdd: list((value) => text(value) || whole(value) && Number(value) >= 0),
  workdir: (value) => text(value) && String(value).startsWith('/'), tty: flag, hostname: text, domainname: text, pid: text, ipc: text, uts: text,
  network: (value) => value === 'none' || value === 'host' || isNetwork(value), timeOffsets: intricate, init: flag, devices: list(text),
  oomScoreAdj: whole, seccomp: text, capAdd: list(text), capDrop: list(text), privileged: flag, noNewPrivileges: flag, readonly: flag, shmSize: size,
  ulimits: intricate, sysctls: table(anyText), extraHosts: table(text), dns: list(text), dnsSearch: list(text), dnsOptions: list(text),
  hostPorts: list(isPort), ip: text, aliases: list(text), ports: list(isPort), loopback: (value) => flag(value) || value === 'direct', labels: table(anyText), name: isName,
  stopSignal: (value) => text(value) || whole(value), stdin: flag, hold: flag,
  pull: (value) => value === 'always' || value === 'missing' || value === 'never', platform: text, onPull: (value) => typeof value === 'function',
  ready: (value) => isPlain(value) && typeof value['ready'] === 'function' && typeof value['description'] === 'string',
  copy: list(isUsualCopy), healthcheck: (value) => isPlain(value) && Object.entries(value).every(([name, one]) => one === undefined || (CHECKUP[name]?.(one) ?? false)),
  startTimeout: positive, signal: object, scratch: (value) => value === 'memory' || value === 'disk', storage: size,
  driver: (value) => value === 'overlay' || value === 'fuse-overlayfs' || value === 'copy',
}

const CHECKUP: Readonly<Record<string, Form>> = {
  test: words, interval: positive, timeout: positive, startPeriod: (value) => value === 0 || positive(value), startInterval: positive,
  retries: (value) => whole(value) && Number(value) > 0, disable: flag,
}

/** Every option there is. */
export const OPTIONS = Object.keys(USUAL) as readonly (keyof RunOptions)[]

/**
 * Throws ERR_MAYFLY_OPTION_INVALID for an option that there is none of, and for a value of another form than the option
 * takes; says what it takes.
 */
export async function checkForm(options: RunOptions): Promise<void> {
  if (!isPlain(options)) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid options ${JSON.stringify(options)}: they are an object, such as { env: { NAME: 'value' } }`)
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  for (const [name] of given) if (!Object.hasOwn(USUAL, name)) throw unknown(name)
  const odd = given.filter(([name, value]) => !USUAL[name as keyof RunOptions](value))
  if (odd.length === 0) return
  const { checkSchema } = await import('./schema.js')
  for (const [name, value] of odd) checkSchema(name as keyof RunOptions, value)
}

function unknown(name: string): MayflyError {
  const known = DOCKERS[name] ?? nearestWord(name, OPTIONS)
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `There is no option ${JSON.stringify(name)}`, {
    hint: known === undefined ? `There are ${OPTIONS.join(', ')}.` : `Did you mean ${JSON.stringify(known)}?`, details: { option: name },
  })
}

/** What others call them. */
const DOCKERS: Readonly<Record<string, string>> = {
  volumes: 'mounts', volume: 'mounts', binds: 'mounts', environment: 'env', cmd: 'command', exposedPorts: 'ports', networkMode: 'network', networks: 'network',
  workingDir: 'workdir', cpuLimit: 'cpus', waitStrategy: 'ready', wait: 'ready', startupTimeout: 'startTimeout', timeout: 'startTimeout', readOnly: 'readonly',
  pullPolicy: 'pull', healthCheck: 'healthcheck', copyFilesToContainer: 'copy', copyContentToContainer: 'copy', files: 'copy', pidsLimit: 'pids', pidMode: 'pid', ipcMode: 'ipc', addHost: 'extraHosts', networkAliases: 'aliases', ipAddress: 'ip', ip4: 'ip', sharedMemorySize: 'shmSize', label: 'labels',
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isUsualMount(value: unknown): boolean {
  return isPlain(value) && text(value['source']) && text(value['target']) && String(value['target']).startsWith('/') &&
    Object.entries(value).every(([name, one]) => name === 'source' || name === 'target' || (name === 'readonly' && flag(one)))
}

function isUsualCopy(value: unknown): boolean {
  return isPlain(value) && text(value['source']) && text(value['target']) && String(value['target']).startsWith('/') && Object.keys(value).length === 2
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && /^[a-zA-Z0-9][\w.-]{0,127}$/.test(value)
}

/** Throws ERR_MAYFLY_OPTION_INVALID. */
export function checkName(name: string): void {
  if (!isName(name)) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid name ${JSON.stringify(name)}: letters, digits, dots, hyphens and underscores, the first a letter or digit`, { details: { option: 'name' } })
}

function isPort(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) < 65_536
}

function isNetwork(value: unknown): boolean {
  return isPlain(value) && typeof value['connect'] === 'function'
}
