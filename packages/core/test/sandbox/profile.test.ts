import { expect, test } from 'vitest'

import { capabilitySets } from '../../src/sandbox/capabilities.js'
import { seccompProgram, type SeccompProfile } from '../../src/sandbox/seccomp/index.js'
import { interpret } from './interpreter.js'

const NONE = 0n
const X86_64 = 0xc000003e
const I386 = 0x40000003
const ask = (profile: SeccompProfile, number: number, args: readonly bigint[] = [], arch = X86_64, caps = NONE): string =>
  interpret(seccompProgram('x64', caps, profile), { arch, number, args }).verdict

test('an allow-list in Docker\'s form', () => {
  const profile: SeccompProfile = {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 38,
    archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] }],
    syscalls: [
      { names: ['read', 'write', 'call_of_another_kernel'], action: 'SCMP_ACT_ALLOW' },
      { name: 'open', action: 'SCMP_ACT_ERRNO', errnoRet: 2 },
      { names: ['close'], action: 'SCMP_ACT_KILL_PROCESS' },
      { names: ['stat'], action: 'SCMP_ACT_TRAP' },
    ],
  }
  expect([0, 1, 2, 3, 4, 5].map((number) => ask(profile, number)))
    .toEqual(['allow', 'allow', 'errno 2', '0x80000000', '0x30000', 'errno 38'])
  expect([3, 4, 5, 1].map((number) => ask(profile, number, [], I386))).toEqual(['allow', 'allow', 'errno 2', 'errno 38'])
  expect([0x40000000, 0x40000005].map((number) => ask(profile, number))).toEqual(['allow', 'errno 38'])
})

test('interfaces the profile does not name are refused', () => {
  const profile: SeccompProfile = { defaultAction: 'SCMP_ACT_ALLOW' }
  expect(ask(profile, 1)).toBe('allow')
  expect(ask(profile, 1, [], I386)).toBe('errno 1')
  expect(ask(profile, 0x40000001)).toBe('errno 1')
})

test.each([
  ['SCMP_CMP_EQ', [5n], [4n, 6n, 0x100000005n]],
  ['SCMP_CMP_NE', [4n, 0x100000005n], [5n]],
  ['SCMP_CMP_GT', [6n, 0x100000000n, 0xffffffffffffffffn], [5n, 0n]],
  ['SCMP_CMP_GE', [5n, 6n, 0x100000000n], [4n, 0n]],
  ['SCMP_CMP_LT', [0n, 4n], [5n, 6n, 0x100000000n]],
  ['SCMP_CMP_LE', [0n, 5n], [6n, 0x100000000n]],
])('%s 5 compares all 64 bits', (op, yes, no) => {
  const profile: SeccompProfile = {
    defaultAction: 'SCMP_ACT_ERRNO', syscalls: [{ names: ['read'], action: 'SCMP_ACT_ALLOW', args: [{ index: 2, value: 5, op }] }],
  }
  for (const value of yes) expect([value, ask(profile, 0, [0n, 0n, value])]).toEqual([value, 'allow'])
  for (const value of no) expect([value, ask(profile, 0, [0n, 0n, value])]).toEqual([value, 'errno 1'])
})

test('comparisons around a value with an upper half', () => {
  const value = 0x100000005
  const verdicts = (op: string): string[] => [0x100000004n, 0x100000005n, 0x100000006n, 5n, 0x200000000n].map((argument) => ask({
    defaultAction: 'SCMP_ACT_ERRNO', syscalls: [{ names: ['read'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value, op }] }],
  }, 0, [argument]))
  const [yes, no] = ['allow', 'errno 1']
  expect(verdicts('SCMP_CMP_GT')).toEqual([no, no, yes, no, yes])
  expect(verdicts('SCMP_CMP_GE')).toEqual([no, yes, yes, no, yes])
  expect(verdicts('SCMP_CMP_LT')).toEqual([yes, no, no, yes, no])
  expect(verdicts('SCMP_CMP_LE')).toEqual([yes, yes, no, yes, no])
})

test('masked comparison, conditions on two arguments, alternatives, and entries without conditions', () => {
  const masked: SeccompProfile = {
    defaultAction: 'SCMP_ACT_ERRNO',
    syscalls: [{ names: ['clone'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 2114060288, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }] }],
  }
  expect([0x11n, 0x3d0f00n, 0x10000000n, 0x20011n].map((flags) => ask(masked, 56, [flags]))).toEqual(['allow', 'allow', 'errno 1', 'errno 1'])
  const both: SeccompProfile = {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['socket'], action: 'SCMP_ACT_ERRNO', errnoRet: 22, args: [
      { index: 0, value: 16, op: 'SCMP_CMP_EQ' }, { index: 2, value: 9, op: 'SCMP_CMP_EQ' },
    ] }],
  }
  expect([[16n, 0n, 9n], [16n, 0n, 0n], [2n, 0n, 9n]].map((args) => ask(both, 41, args))).toEqual(['errno 22', 'allow', 'allow'])
  const alternatives: SeccompProfile = {
    defaultAction: 'SCMP_ACT_ERRNO',
    syscalls: [
      { names: ['personality'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 0, op: 'SCMP_CMP_EQ' }, { index: 0, value: 8, op: 'SCMP_CMP_EQ' }] },
      { names: ['personality'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 0x20000, op: 'SCMP_CMP_EQ' }] },
    ],
  }
  expect([0n, 8n, 0x20000n, 1n].map((one) => ask(alternatives, 135, [one]))).toEqual(['allow', 'allow', 'allow', 'errno 1'])
  const over: SeccompProfile = {
    defaultAction: 'SCMP_ACT_ERRNO',
    syscalls: [
      { names: ['read'], action: 'SCMP_ACT_ERRNO', errnoRet: 9, args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }] },
      { names: ['read'], action: 'SCMP_ACT_ALLOW' },
    ],
  }
  expect(ask(over, 0, [1n])).toBe('allow')
})

test('entries for capabilities, processors and kernels', () => {
  const profile: SeccompProfile = {
    defaultAction: 'SCMP_ACT_ERRNO',
    syscalls: [
      { names: ['mount'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } },
      { names: ['clone'], action: 'SCMP_ACT_ALLOW', excludes: { caps: ['CAP_SYS_ADMIN'] } },
      { names: ['arch_prctl'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['amd64', 'x32'] } },
      { names: ['read'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['s390x'] } },
      { names: ['ptrace'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: '4.8' } },
      { names: ['write'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: '99.0' } },
      { names: ['open'], action: 'SCMP_ACT_ALLOW', excludes: { arches: ['amd64'] } },
      { names: ['close'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_OF_THE_FUTURE'] } },
    ],
  }
  const admin = capabilitySets({ capAdd: ['SYS_ADMIN'] }).bounding
  const verdicts = (caps: bigint): string[] => [165, 56, 158, 0, 101, 1, 2, 3].map((number) => ask(profile, number, [], X86_64, caps))
  expect(verdicts(NONE)).toEqual(['errno 1', 'allow', 'allow', 'errno 1', 'allow', 'errno 1', 'errno 1', 'errno 1'])
  expect(verdicts(admin)).toEqual(['allow', 'errno 1', 'allow', 'errno 1', 'allow', 'errno 1', 'errno 1', 'errno 1'])
})

test.each([
  [{ defaultAction: 'SCMP_ACT_NOTIFY' }, /defaultAction: unknown action/],
  [{ defaultAction: 'SCMP_ACT_ERRNO', syscalls: [{ action: 'SCMP_ACT_ALLOW' }] }, /syscalls\[0\]: it names no/],
  [{ defaultAction: 'SCMP_ACT_ERRNO', syscalls: [{ names: ['read'], action: 'ALLOW' }] }, /syscalls\[0\]\.action/],
  [{ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 70000 }, /errnoRet 70000/],
  [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['read'], action: 'SCMP_ACT_ALLOW', args: [{ index: 6, value: 0, op: 'SCMP_CMP_EQ' }] }] }, /args\[0\]: index/],
  [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['read'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 0, op: 'EQ' }] }] }, /unknown op "EQ"/],
  [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['read'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: 'new' } }] }, /minKernel "new"/],
] as [SeccompProfile, RegExp][])('%# a profile that is none is refused with the place', (profile, message) => {
  expect(() => seccompProgram('x64', NONE, profile)).toThrow(expect.objectContaining({
    code: 'ERR_MAYFLY_OPTION_INVALID', message: expect.stringMatching(message) as string,
  }))
})
