import { expect, test } from 'vitest'

import type { ImageConfig } from '../../src/images/index.js'
import { capabilitySets } from '../../src/sandbox/capabilities.js'
import { commandLine, environment } from '../../src/sandbox/command.js'
import { cgroupWrites, type LimitOptions } from '../../src/sandbox/limits.js'
import { rlimits } from '../../src/sandbox/rlimits.js'

const CONFIG: ImageConfig = {
  Env: ['PATH=/image', 'A=1'], Cmd: ['serve'], Entrypoint: ['/entry'], ExposedPorts: [], Volumes: [], User: '', WorkingDir: '', Labels: {},
}
const INVALID = expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID' })

test('a command replaces CMD, an entrypoint cancels CMD, text goes to a shell', () => {
  expect(commandLine(CONFIG, {})).toEqual(['/entry', 'serve'])
  expect(commandLine(CONFIG, { command: ['other'] })).toEqual(['/entry', 'other'])
  expect(commandLine(CONFIG, { entrypoint: ['/mine'] })).toEqual(['/mine'])
  expect(commandLine(CONFIG, { entrypoint: [], command: 'a | b' })).toEqual(['/bin/sh', '-c', 'a | b'])
  expect(() => commandLine(CONFIG, { entrypoint: [] })).toThrow(INVALID)
})

test('the caller\'s environment wins, then the image\'s, then the defaults', () => {
  expect(environment(CONFIG, { A: '2', B: '' }, 'h', '/root').sort()).toEqual(['A=2', 'B=', 'HOME=/root', 'HOSTNAME=h', 'PATH=/image'])
  expect(environment({ ...CONFIG, Env: [] }, { A: undefined }, 'h', '/')[0]).toMatch(/^PATH=\/usr\/local\/sbin:/)
  expect(() => environment(CONFIG, { 'A=B': 'x' }, 'h', '/')).toThrow(INVALID)
})

test('capabilities are Docker\'s 14, less what is dropped, plus what is added', () => {
  expect(capabilitySets({})).toEqual({ bounding: 0xa80425fbn, effective: 0xa80425fbn, inheritable: 0n, ambient: 0n })
  expect(capabilitySets({ capDrop: ['ALL'] }).bounding).toBe(0n)
  expect(capabilitySets({ capDrop: ['ALL'], capAdd: ['cap_net_admin'] }).bounding).toBe(1n << 12n)
  expect(capabilitySets({ capAdd: ['ALL'], capDrop: ['CHOWN'] }).bounding).toBe(2n ** 41n - 2n)
  expect(capabilitySets({ privileged: true }).bounding).toBe(2n ** 41n - 1n)
  expect(() => capabilitySets({ capAdd: ['NET_ADMINN'] })).toThrow(INVALID)
})

const V1 = new Map([
  ['cgroup', 'hybrid'], ['controllers', 'cpu,cpuacct,memory,pids,cpuset,blkio'], ['devices', 'v1'], ['files', 'memory.memsw.limit_in_bytes,blkio.bfq.weight'],
])
const V2 = new Map([['cgroup', 'v2'], ['controllers', 'cpu,memory,pids,cpuset,io'], ['devices', 'bpf'], ['files', 'memory.swap.max,memory.peak,io.weight']])
const written = (features: ReadonlyMap<string, string>, options: LimitOptions): string[] =>
  cgroupWrites(features, { pids: -1, ...options }).map(({ controller, file, value }) => `${controller} ${file}=${value}`).filter((line) => line !== 'pids pids.max=max')

test.each([
  [{ memory: '256m' }, ['memory memory.limit_in_bytes=268435456', 'memory memory.memsw.limit_in_bytes=268435456'],
    ['memory memory.max=268435456', 'memory memory.swap.max=0']],
  [{ memory: '256m', memorySwap: '1g' }, ['memory memory.limit_in_bytes=268435456', 'memory memory.memsw.limit_in_bytes=1073741824'],
    ['memory memory.max=268435456', 'memory memory.swap.max=805306368']],
  [{ memory: '256m', memorySwap: -1 }, ['memory memory.limit_in_bytes=268435456', 'memory memory.memsw.limit_in_bytes=-1'],
    ['memory memory.max=268435456', 'memory memory.swap.max=max']],
  [{ memoryReservation: '64m' }, ['memory memory.soft_limit_in_bytes=67108864'], ['memory memory.low=67108864']],
  [{ cpus: 1.5 }, ['cpu cpu.cfs_period_us=100000', 'cpu cpu.cfs_quota_us=150000'], ['cpu cpu.max=150000 100000']],
  [{ cpuQuota: 20_000, cpuPeriod: 50_000 }, ['cpu cpu.cfs_period_us=50000', 'cpu cpu.cfs_quota_us=20000'], ['cpu cpu.max=20000 50000']],
  [{ cpuQuota: -1 }, ['cpu cpu.cfs_period_us=100000', 'cpu cpu.cfs_quota_us=-1'], ['cpu cpu.max=max 100000']],
  [{ cpuShares: 2 }, ['cpu cpu.shares=2'], ['cpu cpu.weight=1']],
  [{ cpuShares: 262_144 }, ['cpu cpu.shares=262144'], ['cpu cpu.weight=10000']],
  [{ cpusetCpus: '0-1', cpusetMems: '0' }, ['cpuset cpuset.cpus=0-1', 'cpuset cpuset.mems=0'], ['cpuset cpuset.cpus=0-1', 'cpuset cpuset.mems=0']],
  [{ blkioWeight: 500 }, ['blkio blkio.bfq.weight=500'], ['io io.weight=4950']],
  [{ pids: 10 }, ['pids pids.max=10'], ['pids pids.max=10']],
] as [LimitOptions, string[], string[]][])('limits %j go to the files of the cgroup version at hand', (options, v1, v2) => {
  expect(written(V1, options)).toEqual(v1)
  expect(written(V2, options)).toEqual(v2)
})

test('without any limit there is one on processes', () => {
  expect(cgroupWrites(V2, {})).toEqual([{ controller: 'pids', file: 'pids.max', value: '4096' }])
})

test.each([
  { cpuShares: 1 }, { cpuShares: 262_145 }, { cpuPeriod: 999 }, { cpuQuota: 5 }, { cpus: 0 }, { cpus: Number.NaN }, { pids: 0 }, { pids: 1.5 },
  { cpusetCpus: '1,' }, { cpusetCpus: 'all' }, { cpusetMems: '0\n1' }, { blkioWeight: 9 }, { memory: 0 }, { memory: 'much' }, { memoryReservation: '-1' },
] as LimitOptions[])('limit %j is refused', (options) => {
  expect(() => cgroupWrites(V1, options)).toThrow(INVALID)
})

test('what the kernel has no file for is refused when it was asked for', () => {
  const bare = new Map([...V1, ['files', '']])
  const UNSUPPORTED = expect.objectContaining({ code: 'ERR_MAYFLY_LIMIT_UNSUPPORTED' })
  expect(written(bare, { memory: '256m' })).toEqual(['memory memory.limit_in_bytes=268435456'])
  expect(() => cgroupWrites(bare, { memory: '256m', memorySwap: '1g' })).toThrow(UNSUPPORTED)
  expect(() => cgroupWrites(bare, { blkioWeight: 100 })).toThrow(UNSUPPORTED)
})

test('a limit that was asked for and cannot be kept is an error, a default is not', () => {
  const none = new Map([['cgroup', 'none'], ['controllers', '']])
  expect(cgroupWrites(none, {})).toEqual([])
  for (const options of [{ memory: '1g' }, { cpus: 1 }, { pids: 5 }]) {
    expect(() => cgroupWrites(none, options)).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_LIMIT_UNSUPPORTED' }))
  }
  expect(() => cgroupWrites(none, { cpus: -1 })).toThrow(INVALID)
})

test('ulimits by name', () => {
  expect(rlimits({ nofile: 1024, core: { soft: 0, hard: -1 } })).toEqual([
    { resource: 7, soft: 1024n, hard: 1024n }, { resource: 4, soft: 0n, hard: 2n ** 64n - 1n },
  ])
  expect(() => rlimits({ files: 1 })).toThrow(INVALID)
  expect(() => rlimits({ nofile: { soft: 2, hard: 1 } })).toThrow(INVALID)
  expect(() => rlimits({ nofile: 1.5 })).toThrow(INVALID)
})
