import { MayflyError } from '../errors.js'
import { ARCHITECTURES, verdicts, type Verdict } from './syscalls.js'

interface Instruction {
  readonly code: number
  readonly jt: number
  readonly jf: number
  readonly k: number
}

interface Span {
  /** First number of the span; it reaches to the next one's. */
  readonly from: number
  readonly verdict: Verdict
}

const LD = 0x20
const JA = 0x05
const JEQ = 0x15
const JGE = 0x35
const JSET = 0x45
const RET = 0x06

const ALLOW = 0x7fff0000
const ERRNO = 0x50000
const EPERM = 1
const ENOSYS = 38

const OFFSET = { number: 0, arch: 4, argument0: 16 } as const
/** Every CLONE_NEW* flag that clone takes. */
const NAMESPACE_FLAGS = 0x7e020000
/** AF_ALG and AF_VSOCK: kernel attack surface, and a way past the network namespace. */
const REFUSED_FAMILIES = [38, 40]
/** Linux, UNAME26, no randomisation, both, and the question for the current one. */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff]
const X32_BIT = 0x40000000

const programs = new Map<string, Buffer>()

/**
 * The filter of a container with these capabilities: known calls are allowed but for Docker's exceptions (EPERM), unknown
 * ones answer ENOSYS, other architectures EPERM. Throws ERR_MAYFLY_UNSUPPORTED for an architecture without a table.
 */
export function seccompProgram(arch: string, capabilities: bigint): Buffer {
  const key = `${arch} ${capabilities}`
  const known = programs.get(key)
  if (known !== undefined) return known
  const program = encode(assemble(arch, capabilities))
  programs.set(key, program)
  return program
}

function assemble(arch: string, capabilities: bigint): Instruction[] {
  const table = ARCHITECTURES[arch]
  if (table === undefined) throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `There is no system call filter for ${arch}`)
  const exceptions = verdicts(table, capabilities)
  const spans: Span[] = []
  const append = (from: number, verdict: Verdict): void => {
    if (spans.at(-1)?.verdict !== verdict) spans.push({ from, verdict })
  }
  let end = 0
  for (const [from, to] of table.known) {
    if (from > end || end === 0 && from > 0) append(end, 'unknown')
    for (let number = from; number < to; number += 1) append(number, exceptions.get(number) ?? 'allow')
    end = to
  }
  append(end, 'unknown')
  append(X32_BIT, 'deny')
  return [
    { code: LD, jt: 0, jf: 0, k: OFFSET.arch },
    { code: JEQ, jt: 1, jf: 0, k: table.audit },
    answer(ERRNO | EPERM),
    { code: LD, jt: 0, jf: 0, k: OFFSET.number },
    ...tree(spans),
  ]
}

/** A binary search over the spans: some eight comparisons instead of hundreds, at every system call. */
function tree(spans: readonly Span[]): Instruction[] {
  const [only] = spans
  if (spans.length <= 1) return only === undefined ? [] : leaf(only.verdict)
  const middle = spans.length >> 1
  const lower = tree(spans.slice(0, middle))
  const upper = tree(spans.slice(middle))
  const k = spans[middle]?.from ?? 0
  // A conditional jump reaches 255 instructions; a plain one any number.
  if (lower.length <= 255) return [{ code: JGE, jt: lower.length, jf: 0, k }, ...lower, ...upper]
  return [{ code: JGE, jt: 0, jf: 1, k }, { code: JA, jt: 0, jf: 0, k: lower.length }, ...lower, ...upper]
}

function leaf(verdict: Verdict): Instruction[] {
  const argument = { code: LD, jt: 0, jf: 0, k: OFFSET.argument0 }
  const deny = answer(ERRNO | EPERM)
  switch (verdict) {
    case 'allow': return [answer(ALLOW)]
    case 'deny': return [deny]
    case 'unknown': return [answer(ERRNO | ENOSYS)]
    case 'clone': return [argument, { code: JSET, jt: 1, jf: 0, k: NAMESPACE_FLAGS }, answer(ALLOW), deny]
    case 'socket': return [argument, ...oneOf(REFUSED_FAMILIES), answer(ALLOW), deny]
    case 'personality': return [argument, ...oneOf(PERSONALITIES), deny, answer(ALLOW)]
  }
}

/** Falls through to the next instruction when the argument is none of the values, else skips it. */
function oneOf(values: readonly number[]): Instruction[] {
  return values.map((k, index) => ({ code: JEQ, jt: values.length - index, jf: 0, k }))
}

function answer(k: number): Instruction {
  return { code: RET, jt: 0, jf: 0, k }
}

function encode(instructions: readonly Instruction[]): Buffer {
  const program = Buffer.alloc(instructions.length * 8)
  instructions.forEach(({ code, jt, jf, k }, index) => {
    program.writeUInt16LE(code, index * 8)
    program.writeUInt8(jt, index * 8 + 2)
    program.writeUInt8(jf, index * 8 + 3)
    program.writeUInt32LE(k, index * 8 + 4)
  })
  return program
}
