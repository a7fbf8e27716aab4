import { expect, test } from 'vitest'

import { checkOptions } from '../../src/sandbox/check.js'
import { addMounts } from '../../src/sandbox/mounts.js'
import { isPrivate, namespacesOf } from '../../src/sandbox/namespaces.js'
import { NAMESPACES, Operations } from '../../src/sandbox/operations.js'
import type { ResolvedOptions, SandboxOptions } from '../../src/sandbox/options.js'
import { sysctlPath } from '../../src/sandbox/sysctls.js'
import { addGroups } from '../../src/sandbox/user.js'

const refusal = (option: string): unknown => expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID', message: expect.stringContaining(option) as string })

test.each([
  ['pid', { pid: 'shared' }], ['ipc', { ipc: 'container:' }], ['uts', { uts: 'none' }], ['network', { network: 'bridge' }],
  ['hostname', { hostname: '-x' }], ['hostname', { hostname: 'a'.repeat(65) }], ['hostname', { hostname: 'a b' }],
  ['domainname', { domainname: 'a/b' }], ['oomScoreAdj', { oomScoreAdj: 1001 }], ['timeOffsets', { timeOffsets: { monotonic: 1.5 } }],
  ['timeOffsets', { timeOffsets: { realtime: 1 } }],
] as [string, SandboxOptions][])('%s: %j is refused by name', (option, options) => {
  expect(() => checkOptions(options)).toThrow(refusal(option))
})

test.each([
  [{ uts: 'host', hostname: 'x' }, 'hostname'], [{ uts: 'container:a', domainname: 'x' }, 'domainname'],
  [{ ipc: 'host', shmSize: '1m' }, 'shmSize'], [{ ipc: 'container:a', sysctls: { 'kernel.shmmax': '1' } }, 'kernel.shmmax'],
  [{ network: 'host', sysctls: { 'net.core.somaxconn': '1' } }, 'net.core.somaxconn'], [{ network: 'container:a', dns: ['1.1.1.1'] }, 'dns'],
  [{ network: 'container:a', extraHosts: { a: '1.1.1.1' } }, 'extraHosts'],
  [{ privileged: true, capDrop: ['CHOWN'] }, 'capDrop'], [{ privileged: true, seccomp: { defaultAction: 'SCMP_ACT_ALLOW' } }, 'seccomp'],
  [{ capAdd: ['NET_ADMIN'], capDrop: ['CAP_NET_ADMIN'] }, 'NET_ADMIN'],
  [{ memorySwap: '1g' }, 'memorySwap'], [{ memory: '2g', memorySwap: '1g' }, 'memorySwap'], [{ memory: '1g', memoryReservation: '2g' }, 'memoryReservation'],
  [{ cpus: 1, cpuQuota: 5000 }, 'cpuQuota'],
] as [SandboxOptions, string][])('%j contradict each other', (options, named) => {
  expect(() => checkOptions(options)).toThrow(refusal('contradict'))
  expect(() => checkOptions(options)).toThrow(refusal(named))
})

test('what Docker\'s users write is accepted', () => {
  for (const options of [
    {}, { pid: 'host', ipc: 'private', uts: 'container:x', network: 'none' }, { hostname: 'db.example.org' }, { capAdd: ['ALL'], capDrop: ['CHOWN'] },
    { capAdd: ['CHOWN'], capDrop: ['ALL'] }, { memory: '1g', memorySwap: -1 }, { privileged: true, seccomp: 'unconfined' },
  ] as SandboxOptions[]) expect(() => checkOptions(options)).not.toThrow()
})

test('namespaces are created, entered, or left as they are', () => {
  const all = NAMESPACES.mount | NAMESPACES.pid | NAMESPACES.ipc | NAMESPACES.uts | NAMESPACES.net
  expect(namespacesOf({})).toEqual({ create: all, enter: [], pidOf: '' })
  expect(namespacesOf({ network: 'none' }).create).toBe(all)
  expect(namespacesOf({ pid: 'container:p', ipc: 'host', uts: 'container:u', network: 'host' })).toEqual({
    create: NAMESPACES.mount, pidOf: 'p', enter: [{ namespace: NAMESPACES.uts, container: 'u' }, { namespace: NAMESPACES.net, container: '' }],
  })
  expect([{}, { pid: 'private' }, { pid: 'host' }, { network: 'none' }].map((options) => isPrivate(options as SandboxOptions))).toEqual([true, true, false, false])
})

test.each([
  { tmpfs: ['relative'] }, { tmpfs: ['/'] }, { tmpfs: ['/proc/x'] }, { tmpfs: ['/tmp:size=much'] }, { tmpfs: ['/tmp:mode=9'] }, { tmpfs: ['/tmp:fast'] },
  { tmpfs: ['/tmp:uid=-1'] }, { tmpfs: ['/a', '/a/'] }, { mounts: [{ source: 'x', target: '/x' }] }, { mounts: [{ source: '/x', target: '/sys/kernel' }] },
  { mounts: [{ source: '/x', target: '/x/../proc' }] }, { tmpfs: ['/x'], mounts: [{ source: '/y', target: '/x' }] },
  { mounts: [{ source: '/x', target: '/x', propagation: 'rshared' }] }, { mounts: [{ source: '/x\0', target: '/x' }] },
] as unknown as ResolvedOptions[])('mounts %j are refused', (options) => {
  expect(() => addMounts(new Operations(), options)).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID' }))
})

test.each(['net.ipv4.ip_forward', 'net.core.somaxconn', 'fs.mqueue.msg_max', 'kernel.shmmax', 'kernel.sem', 'kernel.msgmni'])('sysctl %s is a container\'s', (name) => {
  expect(sysctlPath(name, '1')).toBe(name.replaceAll('.', '/'))
})

test.each([
  ['kernel.core_pattern', '|/bin/sh'], ['kernel.hostname', 'x'], ['vm.swappiness', '1'], ['net/../kernel/core_pattern', 'x'], ['net..core', '1'], ['net.', '1'],
  ['kernel.shmmax+kernel.core_pattern', '1'], ['kernel.shmmax', '1\nkernel.core_pattern=|/x'], ['fs.file-max', '1'], ['', ''],
  ['net.ipv4.ip_forward=1,kernel.core_pattern', '1'], ['kernel.sem/../core_pattern', '1'],
])('sysctl %j = %j is refused (CVE-2022-0811)', (name, value) => {
  expect(() => sysctlPath(name, value)).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID' }))
})

test('groups are added by name or number', () => {
  const identity = { uid: 5, gid: 6, groups: [6], home: '/' }
  expect(addGroups(identity, ['audio', 77, '4'], 'audio:x:29:\n').groups).toEqual([4, 6, 29, 77])
  for (const bad of ['video', '-1', '4294967295', '']) expect(() => addGroups(identity, [bad], 'audio:x:29:\n')).toThrow(refusal('groupAdd'))
})
