/** What a program asks of the kernel, as a seccomp filter sees it. */
export interface Call {
  readonly arch: number
  readonly number: number
  readonly args?: readonly bigint[]
}

const DATA = { number: 0, arch: 4, arguments: 16 }

/** Carries out a classic BPF program as the kernel would, and counts what it costs. */
export function interpret(program: Buffer, { arch, number, args = [] }: Call): { answer: number; verdict: string; steps: number } {
  const data = Buffer.alloc(64)
  data.writeUInt32LE(number >>> 0, DATA.number)
  data.writeUInt32LE(arch >>> 0, DATA.arch)
  args.forEach((arg, index) => data.writeBigUInt64LE(arg, DATA.arguments + index * 8))
  let accumulator = 0
  for (let at = 0, steps = 1; at < program.length / 8; at += 1, steps += 1) {
    const code = program.readUInt16LE(at * 8)
    const jt = program.readUInt8(at * 8 + 2)
    const jf = program.readUInt8(at * 8 + 3)
    const k = program.readUInt32LE(at * 8 + 4)
    switch (code) {
      case 0x20: accumulator = data.readUInt32LE(k); break
      case 0x54: accumulator = (accumulator & k) >>> 0; break
      case 0x05: at += k; break
      case 0x15: at += accumulator === k ? jt : jf; break
      case 0x25: at += accumulator > k ? jt : jf; break
      case 0x35: at += accumulator >= k ? jt : jf; break
      case 0x06: return { answer: k, verdict: nameOf(k), steps }
      default: throw new Error(`instruction ${code} at ${at}`)
    }
  }
  throw new Error('ran off the end')
}

function nameOf(answer: number): string {
  const action = (answer & 0xffff0000) >>> 0
  if (action === 0x7fff0000) return 'allow'
  if (action === 0x50000) return `errno ${answer & 0xffff}`
  return `0x${answer.toString(16)}`
}
