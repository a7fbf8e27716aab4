/** Tar archives made by hand, so that tests can say what no archiver would write. */
export interface Entry {
  readonly name: string
  readonly type?: string
  readonly data?: string | Buffer
  readonly link?: string
  readonly mode?: number
  readonly uid?: number
  readonly mtime?: number
  readonly major?: number
  readonly minor?: number
  readonly prefix?: string
  readonly size?: number
  readonly pax?: Readonly<Record<string, string | Buffer>>
}

export function archive(...entries: readonly Entry[]): Buffer {
  return Buffer.concat([...entries.flatMap(blocks), Buffer.alloc(1024)])
}

export function blocks(entry: Entry): Buffer[] {
  const extended = entry.pax === undefined ? [] : blocks({ name: 'pax', type: 'x', data: paxRecords(entry.pax) })
  const data = Buffer.from(entry.data ?? '')
  const padding = Buffer.alloc((512 - (data.length % 512)) % 512)
  return [...extended, header(entry, data.length), data, padding]
}

export function header(entry: Entry, length: number): Buffer {
  const block = Buffer.alloc(512)
  block.write(entry.name, 0, 100)
  block.write(octal(entry.mode ?? 0o644, 7), 100)
  block.write(octal(entry.uid ?? 0, 7), 108)
  block.write(octal(0, 7), 116)
  block.write(octal(entry.size ?? length, 11), 124)
  block.write(octal(entry.mtime ?? 1_000_000_000, 11), 136)
  block.write(entry.type ?? '0', 156)
  block.write(entry.link ?? '', 157, 100)
  block.write('ustar\0' + '00', 257)
  block.write(octal(entry.major ?? 0, 7), 329)
  block.write(octal(entry.minor ?? 0, 7), 337)
  block.write(entry.prefix ?? '', 345, 155)
  return sealed(block)
}

/** Writes the checksum anew. */
export function sealed(block: Buffer): Buffer {
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${octal(sum, 6)}\0 `, 148)
  return block
}

function paxRecords(values: Readonly<Record<string, string | Buffer>>): Buffer {
  return Buffer.concat(Object.entries(values).map(([key, value]) => {
    const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')])
    let total = body.length + 1
    while (String(total).length + body.length !== total) total++
    return Buffer.concat([Buffer.from(String(total)), body])
  }))
}

function octal(value: number, width: number): string {
  return value.toString(8).padStart(width, '0')
}
