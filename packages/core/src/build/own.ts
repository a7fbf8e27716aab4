import { Transform } from 'node:stream'

const BLOCK = 512

/** A plain tar whose entries all belong to `owner`. [POSIX.1-2017, pax, "ustar Interchange Format"] */
export function reowned({ uid, gid }: { readonly uid: number; readonly gid: number }): Transform {
  let held: Buffer = Buffer.alloc(0)
  /** Bytes of an entry's content still to come. */
  let content = 0
  return new Transform({
    highWaterMark: 1 << 20,
    transform(chunk: Buffer, _encoding, done) {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
      let at = 0
      while (at < held.length) {
        if (content > 0) {
          const part = Math.min(content, held.length - at)
          this.push(held.subarray(at, at + part))
          content -= part
          at += part
          continue
        }
        if (held.length - at < BLOCK) break
        const header = Buffer.from(held.subarray(at, at + BLOCK))
        at += BLOCK
        if (header.some(byte => byte !== 0)) {
          content = Math.ceil(sizeOf(header) / BLOCK) * BLOCK
          writeNumber(header, 108, uid)
          writeNumber(header, 116, gid)
          sign(header)
        }
        this.push(header)
      }
      held = held.subarray(at)
      done()
    },
    flush(done) {
      if (held.length > 0) this.push(held)
      done()
    },
  })
}

/** Octal, or GNU's binary form of large files. */
function sizeOf(header: Buffer): number {
  const field = header.subarray(124, 136)
  const size = (field[0] ?? 0) >= 0x80 ? Number(field.readBigUInt64BE(4)) : Number.parseInt(field.toString('latin1').replace(/\0.*$/s, '').trim(), 8)
  // Links and directories may carry a size without content behind it.
  return Number.isNaN(size) || '123456'.includes(String.fromCharCode(header[156] ?? 0)) ? 0 : size
}

function writeNumber(header: Buffer, at: number, value: number): void {
  const octal = value.toString(8)
  if (octal.length <= 7) header.write(`${octal.padStart(7, '0')}\0`, at, 'latin1')
  else {
    header.fill(0, at, at + 8)
    header[at] = 0x80
    header.writeUInt32BE(value, at + 4)
  }
}

function sign(header: Buffer): void {
  header.fill(' ', 148, 156)
  const sum = header.reduce((all, byte) => all + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
}
