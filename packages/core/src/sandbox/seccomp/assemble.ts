import { X32_BIT, type Abi } from './abi.js'

/** A comparison of one argument; all of a rule's hold for it to apply. */
export interface Condition {
  readonly argument: number
  readonly compare: 'NE' | 'LT' | 'LE' | 'EQ' | 'GE' | 'GT' | 'MASKED_EQ'
  readonly value: bigint
  /** MASKED_EQ only. */
  readonly mask?: bigint | undefined
  /** Look at the low 32 bits alone, as the kernel does with an `int`: the others are no way around a rule. */
  readonly int?: boolean | undefined
}

export interface Rule {
  readonly conditions: readonly Condition[]
  /** SECCOMP_RET_* with its data. */
  readonly action: number
}

/** What becomes of a call: the first rule that applies, else `otherwise`. */
export interface Verdict {
  readonly rules: readonly Rule[]
  readonly otherwise: number
}

/** The verdicts on one interface's calls, by number; on all other numbers `unknown`. */
export interface Section {
  readonly abi: Abi
  readonly verdicts: ReadonlyMap<number, Verdict>
  readonly unknown: Verdict
}

interface Instruction {
  readonly code: number
  readonly k: number
  readonly jt?: number
  readonly jf?: number
}

type Where = 'next' | 'pass' | 'fail'
interface Step {
  readonly code: number
  readonly k: number
  readonly yes?: Where
  readonly no?: Where
}

interface Span {
  /** First number of the span; it reaches to the next one's. */
  readonly from: number
  readonly verdict: Verdict
}

const LD = 0x20
const AND = 0x54
const JA = 0x05
const JEQ = 0x15
const JGT = 0x25
const JGE = 0x35
const RET = 0x06
const OFFSET = { number: 0, arch: 4, arguments: 16 } as const
const LOW = 0xffffffffn

/** The classic BPF program of a filter. A call through an interface without a section gets `foreign`. */
export function assemble(sections: readonly Section[], foreign: number): Buffer {
  const program: Instruction[] = [{ code: LD, k: OFFSET.arch }]
  const spans = new Map<number, Span[]>()
  for (const section of sections) {
    const x32 = section.abi.name === 'SCMP_ARCH_X32'
    const before = spans.get(section.abi.audit) ?? []
    spans.set(section.abi.audit, x32 ? [...before.filter(({ from }) => from < X32_BIT), ...spansOf(section, X32_BIT)] : spansOf(section, 0))
  }
  for (const [audit, list] of spans) {
    // The kernel marks x32 calls in their number alone: without a section of their own they are foreign.
    if (list.every(({ from }) => from < X32_BIT) && audit === 0xc000003e) list.push({ from: X32_BIT, verdict: { rules: [], otherwise: foreign } })
    const body = [{ code: LD, k: OFFSET.number }, ...tree(list)]
    program.push({ code: JEQ, k: audit, jt: 1, jf: 0 }, { code: JA, k: body.length }, ...body)
  }
  return encode([...program, { code: RET, k: foreign }])
}

function spansOf({ verdicts, unknown }: Section, bit: number): Span[] {
  const spans: Span[] = []
  let last = ''
  const append = (from: number, verdict: Verdict): void => {
    const key = keyOf(verdict)
    if (key !== last) spans.push({ from: bit + from, verdict })
    last = key
  }
  let end = 0
  for (const number of [...verdicts.keys()].sort((a, b) => a - b)) {
    if (number > end) append(end, unknown)
    append(number, verdicts.get(number) ?? unknown)
    end = number + 1
  }
  append(end, unknown)
  return spans
}

const keys = new WeakMap<Verdict, string>()

function keyOf(verdict: Verdict): string {
  let key = keys.get(verdict)
  if (key === undefined) {
    key = JSON.stringify(verdict, (_name, value: unknown) => typeof value === 'bigint' ? String(value) : value)
    keys.set(verdict, key)
  }
  return key
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
  return [{ code: JGE, jt: 0, jf: 1, k }, { code: JA, k: lower.length }, ...lower, ...upper]
}

function leaf({ rules, otherwise }: Verdict): Instruction[] {
  return [...rules.flatMap(ruleCode), { code: RET, k: otherwise }]
}

function ruleCode({ conditions, action }: Rule): Instruction[] {
  const parts = conditions.map(steps)
  const length = parts.reduce((sum, part) => sum + part.length, 0) + 1
  let start = 0
  const code = parts.flatMap((part) => {
    const end = start + part.length
    const resolved = part.map((step, index): Instruction => {
      const here = start + index + 1
      const reach = (where: Where = 'next'): number => where === 'next' ? 0 : where === 'pass' ? end - here : length - here
      return step.yes === undefined ? step : { code: step.code, k: step.k, jt: reach(step.yes), jf: reach(step.no) }
    })
    start = end
    return resolved
  })
  return [...code, { code: RET, k: action }]
}

/** BPF compares 32 bits at a time: the high half decides, unless it is equal. */
function steps({ argument, compare, value, mask = 0n, int = false }: Condition): Step[] {
  const offset = OFFSET.arguments + argument * 8
  const high = { code: LD, k: offset + 4 }
  const low = { code: LD, k: offset }
  const [vh, vl] = [Number(value >> 32n & LOW), Number(value & LOW)]
  const equal = (yes: Where, no: Where): Step[] => [
    ...int ? [] : [high, { code: JEQ, k: vh, yes: 'next', no } as const], low, { code: JEQ, k: vl, yes, no },
  ]
  const greater = (code: number, yes: Where, no: Where): Step[] => [
    ...int ? [] : [high, { code: JGT, k: vh, yes, no: 'next' } as const, { code: JEQ, k: vh, yes: 'next', no } as const], low, { code, k: vl, yes, no },
  ]
  switch (compare) {
    case 'EQ': return equal('pass', 'fail')
    case 'NE': return equal('fail', 'pass')
    case 'GT': return greater(JGT, 'pass', 'fail')
    case 'GE': return greater(JGE, 'pass', 'fail')
    case 'LT': return greater(JGE, 'fail', 'pass')
    case 'LE': return greater(JGT, 'fail', 'pass')
    case 'MASKED_EQ': {
      const [mh, ml] = [Number(mask >> 32n & LOW), Number(mask & LOW)]
      return [
        ...int ? [] : [high, { code: AND, k: mh }, { code: JEQ, k: vh, yes: 'next', no: 'fail' } as const],
        low, { code: AND, k: ml }, { code: JEQ, k: vl, yes: 'pass', no: 'fail' },
      ]
    }
  }
}

function encode(instructions: readonly Instruction[]): Buffer {
  const program = Buffer.alloc(instructions.length * 8)
  instructions.forEach(({ code, jt = 0, jf = 0, k }, index) => {
    program.writeUInt16LE(code, index * 8)
    program.writeUInt8(jt, index * 8 + 2)
    program.writeUInt8(jf, index * 8 + 3)
    program.writeUInt32LE(k >>> 0, index * 8 + 4)
  })
  return program
}
