import { z } from 'zod'

import { isError } from '../errors.js'
import { invalid } from '../sandbox/invalid.js'
import { parseSize } from '../units.js'
import { parsePorts } from '../network/ports.js'
import type { RunOptions } from './types.js'

const flag = z.boolean('true or false')
const text = (what: string) => z.string(what).min(1, what).refine((value) => !value.includes('\0'), `${what}; without the character NUL`)
const texts = (what: string) => z.array(text(what), `a list, such as [${what.replace(/^.*such as /, '')}]`)
const words = (what: string) => z.union([z.string(), z.array(z.string())], what)
const table = (what: string, names = /^[^\0]+$/) => z.record(z.string().regex(names, what), z.string(what).optional(), what)
const whole = (least: number, most: number, what: string) => z.number(what).int(what).min(least, what).max(most, what)
const absolute = (what: string) => text(what).startsWith('/', what)
const sizeWord = 'bytes as a number, or text such as "256m" or "2g"'
const size = z.union([z.number(), z.string()], sizeWord).refine(isSize, sizeWord)
const swap = `${sizeWord}; -1 for any amount`
const port = whole(1, 65_535, 'numbers from 1 to 65535')
const ports = 'a list of 80, "8080:80", "127.0.0.1:8080:80", "5000-5005:5000-5005/udp" or { container: 80, host: 8080 }'
const mount = 'a list of { source: \'/host\', target: \'/in\' }, { volume: \'name\', target: \'/in\' } or { target: \'/in\' }, each with readonly as one likes'
const mode = (...own: string[]) => z.string().refine((value) => own.includes(value) || /^container:./.test(value), `${own.map((word) => JSON.stringify(word)).join(', ')} or "container:NAME"`)
const limit = 'such as { nofile: 1024 } or { nofile: { soft: 1024, hard: 2048 } }; -1 for no limit'
const seconds = 'seconds for a clock, such as { monotonic: 3600, boottime: 3600 }'
const tty = 'true, false or { columns: 80, rows: 24 }'
const milliseconds = z.number('milliseconds, a number above 0').positive('milliseconds, a number above 0')
const copies = 'a list of { source: \'./here\', target: \'/in\' }, { content: \'text\', target: \'/in\' } or { tar, target: \'/in\' }, each with user and mode as one likes'
const isBytes = (value: unknown): boolean => value instanceof Uint8Array || (typeof value === 'object' && value !== null && 'pipe' in value)
const users = 'text of a user or user:group, by names or numbers'
const networkWord = '"none", "host", "container:NAME", what network() answered, or a list of those'
const isNetwork = (value: unknown): boolean => typeof value === 'object' && value !== null && 'connect' in value

const copied = {
  target: absolute(copies), user: text(users).optional(), mode: whole(0, 0o7777, 'a number from 0 to 0o7777').optional(), follow: flag.optional(), archive: flag.optional(),
  parents: flag.optional(), timeout: milliseconds.optional(), signal: z.instanceof(AbortSignal).optional(),
}

/** Every option's form, in words and as a rule; the words are those of the error. */
const SCHEMAS: Readonly<Record<keyof RunOptions, z.ZodType>> = {
  env: table('values by name, all of them text: { NAME: \'value\' }', /^[^=\0]+$/),
  command: words('a list of words, or text for /bin/sh -c'),
  entrypoint: words('a list of words, or one word; [] for none'),
  mounts: z.array(z.union([
    z.strictObject({ source: text(mount), target: absolute(mount), readonly: flag.optional(), recursive: flag.optional(), propagation: z.string().optional() }),
    z.strictObject({ volume: z.union([text(mount), z.object({ name: z.string(), directory: z.string() })]), target: absolute(mount), readonly: flag.optional(), nocopy: flag.optional() }),
    z.strictObject({ target: absolute(mount), readonly: flag.optional(), nocopy: flag.optional() }),
  ], mount), mount),
  tmpfs: texts('text such as "/tmp" or "/tmp:size=64m"'),
  memory: size, memoryReservation: size, shmSize: size, storage: size,
  memorySwap: z.union([z.number(), z.string()], swap).refine((value) => value === -1 || isSize(value), swap),
  cpus: z.number('processors as a number above 0, such as 1.5').positive('processors as a number above 0, such as 1.5'),
  cpuQuota: z.union([z.literal(-1), whole(1000, 2 ** 40, '')], 'microseconds from 1000; -1 for any'),
  cpuPeriod: whole(1000, 1_000_000, 'microseconds from 1000 to 1000000'),
  cpuShares: whole(2, 262_144, 'a whole number from 2 to 262144'),
  cpusetCpus: text('numbers and ranges such as "0-2,4"'), cpusetMems: text('numbers and ranges such as "0-2,4"'),
  blkioWeight: whole(10, 1000, 'a whole number from 10 to 1000'),
  pids: z.union([z.literal(-1), whole(1, 2 ** 22, '')], 'a whole number from 1; -1 for any number'),
  user: z.string(users), groupAdd: z.array(z.union([text(''), whole(0, 2 ** 32 - 2, '')]), 'a list of groups, by names or numbers'),
  workdir: absolute('an absolute path'),
  tty: z.union([z.boolean(), z.strictObject({ columns: whole(0, 65_535, tty), rows: whole(0, 65_535, tty) })], tty),
  hostname: text('letters, digits, dots and hyphens, at most 64'), domainname: text('letters, digits, dots and hyphens, at most 64'),
  pid: mode('private', 'host'), ipc: mode('private', 'host'), uts: mode('private', 'host'),
  network: z.union([mode('none', 'host'), z.custom(isNetwork), z.array(z.custom(isNetwork))], networkWord),
  timeOffsets: z.strictObject({ monotonic: z.number(seconds).optional(), boottime: z.number(seconds).optional() }, seconds),
  init: flag, privileged: flag, noNewPrivileges: flag, readonly: flag, stdin: flag, hold: flag,
  loopback: z.union([z.boolean(), z.literal('direct')], 'true, false or "direct"'),
  devices: texts('"/dev/fuse" or "/dev/fuse:/dev/fuse:rwm"'),
  oomScoreAdj: whole(-1000, 1000, 'a whole number from -1000 to 1000'),
  seccomp: z.union([text(''), z.looseObject({ defaultAction: z.string() })], '"default", "unconfined", or a profile in Docker\'s JSON form as a path or an object'),
  capAdd: texts('"NET_ADMIN", "CAP_NET_ADMIN" or "ALL"'), capDrop: texts('"NET_ADMIN", "CAP_NET_ADMIN" or "ALL"'),
  ulimits: z.record(z.string(), z.union([whole(-1, 2 ** 53 - 1, ''), z.strictObject({ soft: whole(-1, 2 ** 53 - 1, ''), hard: whole(-1, 2 ** 53 - 1, '') })], limit), limit),
  sysctls: table('values by name, all of them text: { \'net.core.somaxconn\': \'1024\' }'),
  extraHosts: table('addresses by name: { api: \'192.0.2.7\', me: \'host-gateway\' }'),
  dns: texts('"192.0.2.53"'), dnsSearch: texts('"example.com", or "." for none'), dnsOptions: texts('"ndots:2"'),
  hostPorts: z.array(port, 'a list of numbers from 1 to 65535'), ip: text('an IPv4 address, such as "172.28.0.5"'), aliases: texts('"db"'),
  ports: z.array(z.union([z.number(), z.string(), z.looseObject({ container: z.number() })]).superRefine(isPorts), ports),
  labels: table('text by name: { team: \'blue\' }'),
  name: z.string('letters, digits, dots, hyphens and underscores, the first a letter or digit').regex(/^[a-zA-Z0-9][\w.-]{0,127}$/, 'letters, digits, dots, hyphens and underscores, the first a letter or digit'),
  stopSignal: z.union([text(''), whole(1, 64, '')], 'a signal, such as "SIGINT", "INT" or 2'),
  pull: z.enum(['always', 'missing', 'never'], '"always", "missing" or "never"'),
  platform: text('os/architecture, such as "linux/arm64"'),
  onPull: z.custom((value) => typeof value === 'function', 'a function'),
  ready: z.custom((value) => typeof value === 'object' && value !== null && 'ready' in value && typeof value.ready === 'function', 'a strategy, such as wait.port(80)'),
  startTimeout: z.number('milliseconds, a number above 0').positive('milliseconds, a number above 0'),
  copy: z.array(z.union([
    z.strictObject({ source: text(copies), ...copied }), z.strictObject({ content: z.union([z.string(), z.custom(isBytes)]), ...copied }), z.strictObject({ tar: z.custom(isBytes), ...copied }),
  ], copies), copies),
  healthcheck: z.strictObject({
    test: words('a list of words, text for /bin/sh -c, or [\'NONE\']').optional(), interval: milliseconds.optional(), timeout: milliseconds.optional(),
    startPeriod: z.number('milliseconds, a number from 0').nonnegative('milliseconds, a number from 0').optional(), startInterval: milliseconds.optional(),
    retries: whole(1, 2 ** 31 - 1, 'a whole number from 1').optional(), disable: flag.optional(),
  }, 'such as { test: [\'pg_isready\'], interval: 1000, retries: 3 }, or { disable: true }'),
  signal: z.instanceof(AbortSignal, { error: 'an AbortSignal' }),
  scratch: z.enum(['memory', 'disk'], '"memory" or "disk"'),
  driver: z.enum(['overlay', 'fuse-overlayfs', 'copy'], 'one of overlay, fuse-overlayfs, copy'),
}

/** Throws ERR_MAYFLY_OPTION_INVALID, naming the option, the value and what is allowed. */
export function checkSchema(option: keyof RunOptions, value: unknown): void {
  const parsed = SCHEMAS[option].safeParse(value)
  if (parsed.success) return
  const issue = parsed.error.issues[0]
  const where = [option, ...issue?.path ?? []].map((part, at) => (typeof part === 'number' ? `[${part}]` : at === 0 ? part : `.${String(part)}`)).join('')
  const at = (issue?.path ?? []).reduce<unknown>((inner, part) => (typeof inner === 'object' && inner !== null ? (inner as Record<PropertyKey, unknown>)[part] : inner), value)
  throw invalid(where, shown(at), issue?.message ?? 'it has another form')
}

/** What JSON can say of it. */
function shown(value: unknown): unknown {
  return typeof value === 'function' || typeof value === 'symbol' ? String(value).slice(0, 40) : value
}

function isSize(value: number | string): boolean {
  try {
    return parseSize(value) > 0
  } catch {
    return false
  }
}

/** The grammar of ports is told by its own reader. */
function isPorts(value: unknown, { addIssue }: z.RefinementCtx): void {
  try {
    parsePorts([value as number])
  } catch (error) {
    addIssue(isError(error) ? error.message.replace(/^Invalid port .*?: /, '') : ports)
  }
}
