import { expect, test } from 'vitest'

import type { ImageConfig } from '../../src/images/index.js'
import { capabilitySets } from '../../src/sandbox/capabilities.js'
import { commandLine, environment } from '../../src/sandbox/command.js'
import { cgroupWrites } from '../../src/sandbox/limits.js'
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

test('limits go to the files of the cgroup version at hand', () => {
  const v1 = new Map([['cgroup', 'hybrid'], ['controllers', 'cpu,cpuacct,memory,pids']])
  const v2 = new Map([['cgroup', 'v2'], ['controllers', 'cpu,memory,pids']])
  const options = { memory: '256m', cpus: 1.5, pids: 10 }
  const files = (features: Map<string, string>): string[] =>
    cgroupWrites(features, options).map(({ controller, file, value }) => `${controller} ${file}=${value}`)
  expect(files(v1)).toEqual([
    'memory memory.limit_in_bytes=268435456', 'cpu cpu.cfs_period_us=100000', 'cpu cpu.cfs_quota_us=150000', 'pids pids.max=10',
  ])
  expect(files(v2)).toEqual(['memory memory.max=268435456', 'memory memory.swap.max=0', 'cpu cpu.max=150000 100000', 'pids pids.max=10'])
  expect(cgroupWrites(v2, {})).toEqual([{ controller: 'pids', file: 'pids.max', value: '4096' }])
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
})
