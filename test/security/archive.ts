export interface Entry {
  readonly name: string
  readonly type?: 'file' | 'directory' | 'symlink' | 'fifo' | 'character' | 'block'
  /** Its major and minor number. */
  readonly device?: readonly [number, number]
  readonly content?: string | Buffer
  readonly target?: string
  readonly mode?: number
}

const TYPES = { file: '0', symlink: '2', directory: '5', fifo: '6', character: '3', block: '4' }

/** A plain ustar archive of root's files. */
export function archive(entries: readonly Entry[]): Buffer {
  const blocks = entries.flatMap(({ name, type = 'file', content = '', target = '', device = [0, 0], mode = type === 'directory' ? 0o755 : 0o644 }) => {
    const body = Buffer.from(content)
    const header = Buffer.alloc(512)
    const octal = (value: number, at: number, width: number): void => void header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at)
    header.write(name, 0)
    octal(mode, 100, 8)
    octal(0, 108, 8)
    octal(0, 116, 8)
    octal(body.length, 124, 12)
    octal(0, 136, 12)
    header.write('        ', 148)
    header.write(TYPES[type], 156)
    header.write(target, 157)
    header.write('ustar\x0000', 257)
    octal(device[0], 329, 8)
    octal(device[1], 337, 8)
    header.write(`${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148)
    return [header, body, Buffer.alloc((512 - body.length % 512) % 512)]
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}
