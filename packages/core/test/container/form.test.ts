// Every option of run(): forms it takes, forms it refuses, and how it says so.
import { describe, expect, test } from 'vitest'
import { checkForm, OPTIONS } from '../../src/container/form.js'
import { wait } from '../../src/container/wait.js'
import type { RunOptions } from '../../src/container/types.js'

const lists = { accepted: [[], ['x']], refused: ['x', [1], ['']] }
const flags = { accepted: [true, false], refused: ['yes', 1, null] }
const sizes = { accepted: [1024, '64m', '1.5g', '512kb', '2GiB'], refused: ['much', -1, 0, '', true, '64q'] }
const tables = { accepted: [{}, { a: 'b' }, { a: undefined }], refused: [['a=b'], 'a=b', { a: 1 }] }

const table: Readonly<Record<keyof RunOptions, { readonly accepted: readonly unknown[]; readonly refused: readonly unknown[] }>> = {
  env: { ...tables, refused: [...tables.refused, { a: true }, null] },
  command: { accepted: [['a', ''], 'a b', []], refused: [1, [1], { cmd: 'x' }] },
  entrypoint: { accepted: [[], ['a'], '/a'], refused: [1, [1], null] },
  mounts: {
    accepted: [[], [{ source: './a', target: '/a' }], [{ source: '/a', target: '/a', readonly: true, recursive: false, propagation: 'rslave' }], [{ volume: 'v', target: '/v', nocopy: true }], [{ target: '/v' }]],
    refused: ['/a:/a', ['/a:/a'], [{ source: '/a' }], [{ source: '/a', target: 'a' }], [{ source: '/a', target: '/a', ro: true }], [{ source: '/a', volume: 'v', target: '/a' }]],
  },
  tmpfs: lists, devices: lists, capAdd: lists, capDrop: lists, dns: lists, dnsSearch: lists, dnsOptions: lists, aliases: lists,
  ip: { accepted: ['172.28.0.5'], refused: ['', 5, ['172.28.0.5']] },
  memory: sizes, memoryReservation: sizes, shmSize: sizes, storage: sizes,
  memorySwap: { accepted: [...sizes.accepted, -1], refused: ['much', -2, '', true] },
  cpus: { accepted: [1, 0.5], refused: [0, -1, '1', Number.NaN, Number.POSITIVE_INFINITY] },
  cpuQuota: { accepted: [-1, 1000], refused: ['1', 1.5] }, cpuPeriod: { accepted: [1000, 1_000_000], refused: ['1', 1000.5] },
  cpuShares: { accepted: [2, 1024], refused: ['1024', 2.5] }, blkioWeight: { accepted: [10, 1000], refused: ['10', 10.5] },
  cpusetCpus: { accepted: ['0-1,3'], refused: [0, '', [0]] }, cpusetMems: { accepted: ['0'], refused: [0, ''] },
  pids: { accepted: [-1, 1], refused: [0, -2, '5', 1.5] },
  user: { accepted: ['1:2', 'nobody', ''], refused: [0, ['a']] }, groupAdd: { accepted: [['a', 5]], refused: ['a', [-1], [1.5], ['']] },
  workdir: { accepted: ['/'], refused: ['a', '', 1] },
  tty: { accepted: [true, false, { columns: 80, rows: 24 }], refused: ['yes', { columns: 80 }, { columns: 80, rows: -1 }] },
  hostname: { accepted: ['h'], refused: ['', 1] }, domainname: { accepted: ['d'], refused: ['', 1] },
  pid: { accepted: ['private', 'host', 'container:x'], refused: [1, ''] }, ipc: { accepted: ['host'], refused: [1, ''] }, uts: { accepted: ['host'], refused: [1, ''] },
  network: { accepted: ['none', 'host', 'container:x', { connect() {} }, [{ connect() {} }]], refused: ['bridge', 1, ['none'], {}, 'container:'] },
  timeOffsets: { accepted: [{}, { monotonic: 1 }, { boottime: -1 }], refused: [1, { realtime: 1 }, { monotonic: '1' }] },
  init: flags, privileged: flags, noNewPrivileges: flags, readonly: flags, loopback: flags, stdin: flags, hold: flags,
  oomScoreAdj: { accepted: [-1000, 0, 1000], refused: ['0', 1.5] },
  seccomp: { accepted: ['default', 'unconfined', './profile.json', { defaultAction: 'SCMP_ACT_ERRNO' }], refused: ['', 1, {}] },
  ulimits: { accepted: [{ nofile: 1024 }, { nofile: { soft: 1, hard: 2 } }, { nofile: -1 }], refused: ['nofile=1024', { nofile: '1024' }, { nofile: { soft: 1 } }, [1024]] },
  sysctls: tables, labels: tables,
  extraHosts: { accepted: [{ a: '192.0.2.1' }], refused: [['a:192.0.2.1'], { a: 1 }] },
  hostPorts: { accepted: [[], [1, 65_535]], refused: [80, ['80'], [0], [65_536]] },
  ports: {
    accepted: [[], [80], ['8080:80'], ['127.0.0.1:8080:80/tcp'], ['5000-5005:5000-5005/udp'], [{ container: 80, host: 8080 }], [{ container: 80, preferred: 8080 }], [{ container: 80, host: '8000-8010' }]],
    refused: [80, '80', [0], ['x'], ['80/sctp'], ['1-2:1-3'], [{ host: 80 }], [{ container: 80, host: 1, preferred: 2 }], [{ container: 80, address: 'here' }]],
  },
  name: { accepted: ['a', 'a-b_c.d1'], refused: ['', '-a', 'a b', 'a/b', 1] },
  stopSignal: { accepted: ['SIGINT', 'INT', 2], refused: ['', {}, 1.5] },
  pull: { accepted: ['always', 'missing', 'never'], refused: ['sometimes', true] }, platform: { accepted: ['linux/arm64'], refused: ['', 1] }, onPull: { accepted: [() => undefined], refused: [true] },
  ready: { accepted: [wait.port(1), wait.port(1).within(5), { description: 'x', ready: () => Promise.resolve() }], refused: ['port 80', () => true, {}, null] },
  copy: {
    accepted: [[], [{ source: './a', target: '/a' }], [{ content: 'x', target: '/a', mode: 0o600, user: 'root' }], [{ tar: new Uint8Array(), target: '/a', parents: false }], [{ source: 'a', target: '/a', follow: true }]],
    refused: ['./a', [{ source: './a' }], [{ source: './a', target: 'a' }], [{ target: '/a' }], [{ source: 'a', content: 'b', target: '/a' }], [{ content: 1, target: '/a' }], [{ content: '', target: '/a', mode: 0o10000 }], [{ content: '', target: '/a', owner: 'x' }]],
  },
  healthcheck: {
    accepted: [{}, { test: ['a'] }, { test: 'a', interval: 1, timeout: 1, startPeriod: 0, startInterval: 1, retries: 1 }, { disable: true }, { test: undefined }],
    refused: ['a', ['a'], { test: 1 }, { interval: 0 }, { retries: 0 }, { retries: 1.5 }, { startPeriod: -1 }, { cmd: 'a' }, { disable: 'yes' }],
  },
  startTimeout: { accepted: [1, 60_000, 0.5], refused: [0, -1, '60s', Number.NaN] },
  signal: { accepted: [new AbortController().signal], refused: [1, 'SIGTERM'] },
  scratch: { accepted: ['memory', 'disk'], refused: ['ram', true] }, driver: { accepted: ['overlay', 'fuse-overlayfs', 'copy'], refused: ['vfs', 1] },
}

const refusal = (options: unknown): Promise<Error & { code: string; hint?: string; details: Record<string, unknown> }> =>
  checkForm(options as RunOptions).then(() => { throw new Error(`accepted ${JSON.stringify(options)}`) }, (error: unknown) => error as never)

test('the table has every option', () => {
  expect(Object.keys(table).sort()).toEqual([...OPTIONS].sort())
})

describe.each(Object.entries(table))('%s', (option, { accepted, refused }) => {
  test('takes what it should, and is left out by undefined', async () => {
    for (const value of [...accepted, undefined]) await expect(checkForm({ [option]: value })).resolves.toBeUndefined()
  })

  test('refuses the rest, naming option, value and what is allowed', async () => {
    for (const value of refused) {
      const error = await refusal({ [option]: value })
      expect(error).toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID', details: { option: expect.stringMatching(new RegExp(`^${option}(?![a-zA-Z])`)) as string } })
      // `Invalid ports[0] "x": it has none of the forms of a port`
      expect(error.message).toMatch(new RegExp(`^Invalid ${option}[^ ]* .*: .{4,}`))
    }
  })
})

test('errors read well', async () => {
  expect((await refusal({ memory: 'much' })).message).toBe('Invalid memory "much": bytes as a number, or text such as "256m" or "2g"')
  expect((await refusal({ env: { PORT: 5432 } })).message).toBe('Invalid env.PORT 5432: values by name, all of them text: { NAME: \'value\' }')
  expect((await refusal({ ports: ['8080:80', '1-2:1-3'] })).message).toBe('Invalid ports[1] "1-2:1-3": the ranges have different lengths')
  expect((await refusal({ pull: 'sometimes' })).message).toBe('Invalid pull "sometimes": "always", "missing" or "never"')
})

test('an option that there is none of is refused, with what was meant', async () => {
  for (const [given, meant] of [['comand', 'command'], ['environment', 'env'], ['volumes', 'mounts'], ['portz', 'ports'], ['startupTimeout', 'startTimeout'], ['waitStrategy', 'ready']]) {
    expect(await refusal({ [given ?? '']: 1 })).toMatchObject({ message: `There is no option "${given}"`, hint: `Did you mean "${meant}"?` })
  }
  expect((await refusal({ zzzzzzzz: 1 })).hint).toMatch(/^There are env, command, /)
  await expect(checkForm({ zzz: undefined } as RunOptions)).resolves.toBeUndefined()
  expect((await refusal(['a'])).message).toContain('Invalid options')
})
