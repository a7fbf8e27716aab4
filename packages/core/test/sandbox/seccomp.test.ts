import { expect, test } from 'vitest'

import { capabilitySets } from '../../src/sandbox/capabilities.js'
import { seccompProgram } from '../../src/sandbox/seccomp.js'
import { ARCHITECTURES } from '../../src/sandbox/syscalls.js'

const DEFAULTS = capabilitySets({}).bounding
const ALLOW = 'allow'
const EPERM = 'errno 1'
const ENOSYS = 'errno 38'

/** Carries out a filter as the kernel would, and counts what it costs. */
function interpret(program: Buffer, call: { arch: number; number: number; argument?: number }): { verdict: string; steps: number } {
  let accumulator = 0
  for (let at = 0, steps = 1; at < program.length / 8; at += 1, steps += 1) {
    const code = program.readUInt16LE(at * 8)
    const jt = program.readUInt8(at * 8 + 2)
    const jf = program.readUInt8(at * 8 + 3)
    const k = program.readUInt32LE(at * 8 + 4)
    if (code === 0x20) accumulator = (k === 0 ? call.number : k === 4 ? call.arch : k === 16 ? call.argument ?? 0 : Number.NaN) >>> 0
    else if (code === 0x05) at += k
    else if (code === 0x15) at += accumulator === k ? jt : jf
    else if (code === 0x35) at += accumulator >= k ? jt : jf
    else if (code === 0x45) at += (accumulator & k) !== 0 ? jt : jf
    else if (code === 0x06) return { verdict: k === 0x7fff0000 ? ALLOW : `errno ${k & 0xffff}`, steps }
    else throw new Error(`instruction ${code}`)
  }
  throw new Error('ran off the end')
}

test.each(Object.entries(ARCHITECTURES))('%s: every number gets the verdict of the tables', (name, { audit, known, numbers }) => {
  const program = seccompProgram(name, DEFAULTS)
  const special = new Map(Object.entries(numbers).map(([call, number]) => [number, call]))
  const permitted = new Set(['chroot', 'ptrace', 'clone', 'socket', 'personality'])
  for (let number = 0; number < 1000; number += 1) {
    const call = special.get(number)
    const isKnown = known.some(([from, to]) => number >= from && number < to)
    const wanted = call === 'clone3' || !isKnown ? ENOSYS : call === undefined || permitted.has(call) ? ALLOW : EPERM
    expect([number, interpret(program, { arch: audit, number }).verdict]).toEqual([number, wanted])
  }
})

test.each(Object.entries(ARCHITECTURES))('%s: arguments decide on clone, socket and personality', (name, { audit, numbers }) => {
  const program = seccompProgram(name, DEFAULTS)
  const ask = (call: string, argument: number): string =>
    interpret(program, { arch: audit, number: numbers[call] ?? -1, argument }).verdict
  expect(ask('clone', 0x003d0f00)).toBe(ALLOW)
  for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) expect(ask('clone', flag)).toBe(EPERM)
  for (const family of [1, 2, 10, 16]) expect(ask('socket', family)).toBe(ALLOW)
  for (const family of [38, 40]) expect(ask('socket', family)).toBe(EPERM)
  for (const persona of [0, 8, 0x20000, 0x20008, 0xffffffff]) expect(ask('personality', persona)).toBe(ALLOW)
  expect(ask('personality', 0x40000)).toBe(EPERM)
})

test('another architecture and x32 are refused', () => {
  const program = seccompProgram('x64', DEFAULTS)
  expect(interpret(program, { arch: 0x40000003, number: 1 }).verdict).toBe(EPERM)
  expect(interpret(program, { arch: 0xc000003e, number: 0x40000000 }).verdict).toBe(EPERM)
  expect(interpret(program, { arch: 0xc000003e, number: 0x40000000 + 59 }).verdict).toBe(EPERM)
  expect(interpret(program, { arch: 0xc000003e, number: 0xffffffff }).verdict).toBe(EPERM)
})

test('a capability permits its calls', () => {
  const mount = ARCHITECTURES['x64']?.numbers['mount'] ?? -1
  const program = seccompProgram('x64', capabilitySets({ capAdd: ['SYS_ADMIN'] }).bounding)
  expect(interpret(program, { arch: 0xc000003e, number: mount }).verdict).toBe(ALLOW)
})

test('a verdict takes few steps', () => {
  const program = seccompProgram('x64', DEFAULTS)
  const steps = Array.from({ length: 460 }, (_, number) => interpret(program, { arch: 0xc000003e, number }).steps)
  expect(Math.max(...steps)).toBeLessThanOrEqual(16)
})

test('an architecture without a table is refused by name', () => {
  expect(() => seccompProgram('mips', DEFAULTS)).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_UNSUPPORTED' }))
})
