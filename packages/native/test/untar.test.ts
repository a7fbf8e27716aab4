import { execFileSync } from 'node:child_process'
import { lstatSync, mkdirSync, readFileSync, readlinkSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { nativeBinary } from '../index.js'
import { archive, blocks, header, sealed, type Entry } from './archive.js'
import { sandbox, type Sandbox } from './sandbox.js'

let box: Sandbox
beforeEach(() => { box = sandbox() })
afterEach(() => { box.remove() })

const at = (path: string): string => join(box.layer, path)
const isWhiteout = (path: string): boolean => {
  const stat = lstatSync(at(path))
  return stat.isCharacterDevice() && stat.rdev === 0
}
const long = `${'d'.repeat(90)}/${'f'.repeat(90)}`

describe('ordinary archives', () => {
  it('unpacks what the system tar wrote, byte for byte and mode for mode', () => {
    const source = join(box.root, 'source')
    mkdirSync(join(source, 'a', long.slice(0, 90)), { recursive: true })
    writeFileSync(join(source, 'a', long.slice(0, 90), 'f'.repeat(90)), Buffer.alloc(3_000_001, 7), { mode: 0o640 })
    writeFileSync(join(source, 'empty'), '')
    symlinkSync('a/nowhere', join(source, 'link'))
    for (const format of ['gnu', 'pax', 'ustar']) {
      const tar = execFileSync('tar', [`--format=${format}`, '-C', source, '-cf', '-', '.'], { maxBuffer: 1 << 26 })
      const again = sandbox()
      expect(again.untar(tar)).toMatchObject({ status: 0, err: '' })
      expect(() => execFileSync('diff', ['-r', '--no-dereference', source, again.layer])).not.toThrow()
      expect(statSync(join(again.layer, 'a', long.slice(0, 90), 'f'.repeat(90))).mode & 0o7777).toBe(0o640)
      again.remove()
    }
  })

  it('keeps owner, setuid bit and time, and sets directory times last', () => {
    expect(box.untar(archive(
      { name: 'd/', type: '5', mode: 0o755, mtime: 5 },
      { name: 'd/su', data: 'x', mode: 0o4755, uid: 1234, mtime: 7 },
    )).status).toBe(0)
    expect(lstatSync(at('d/su'))).toMatchObject({ mode: 0o104755, uid: 1234, mtimeMs: 7000 })
    expect(lstatSync(at('d')).mtimeMs).toBe(5000)
  })

  it('keeps what a program may do, which a change of its owner would take away', () => {
    // Version 2, effective, CAP_NET_BIND_SERVICE. [linux/capability.h, vfs_cap_data]
    const value = '\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
    expect(box.untar(archive({ name: 'server', data: 'x', mode: 0o755, uid: 1234, pax: { 'SCHILY.xattr.security.capability': value } })).status).toBe(0)
    expect(lstatSync(at('server')).uid).toBe(1234)
    expect(execFileSync(nativeBinary(), ['tar', '--layer', box.layer]).includes(`SCHILY.xattr.security.capability=${value}`)).toBe(true)
  })

  it('where one id owns every file, writes down whose they are, and layers made of them say so', () => {
    const made = archive(
      { name: 'd/', type: '5', mode: 0o700, uid: 7 },
      { name: 'd/su', data: 'x', mode: 0o4555, uid: 1234 },
      { name: 'd/liar', data: 'y', pax: { 'SCHILY.xattr.user.mayfly.owner': '5:5' } },
    )
    expect(box.untar(made, '--no-owners')).toMatchObject({ status: 0, err: '' })
    expect(['d', 'd/su', 'd/liar'].map((path) => lstatSync(at(path)).uid)).toEqual([0, 0, 0])
    const owners = (...options: string[]): string[] => {
      const tar = execFileSync(nativeBinary(), ['tar', '--layer', ...options, box.layer])
      expect(tar.includes('user.mayfly.owner')).toBe(false)
      return execFileSync('tar', ['--numeric-owner', '-tvf', '-'], { input: tar, encoding: 'utf8' }).trim().split('\n').map((line) => line.replace(/^(\S+) (\S+) .* (\S+)$/, '$1 $2 $3'))
    }
    expect(owners('--recorded-owners')).toEqual(['drwx------ 7/0 d/', '-rw-r--r-- 0/0 d/liar', '-r-sr-xr-x 1234/0 d/su'])
    expect(owners()).toEqual(['drwx------ 0/0 d/', '-rw-r--r-- 0/0 d/liar', '-r-sr-xr-x 0/0 d/su'])
  })

  it('reads PAX values, the ustar prefix and base-256 sizes', () => {
    const big = header({ name: 'b' }, 0)
    big.fill(0, 124, 136)
    big[124] = 0x80
    big[135] = 3
    const input = Buffer.concat([
      ...blocks({ name: 'short', pax: { path: 'pax/née', uid: '70000', mtime: '12.5' }, data: 'p' }),
      ...blocks({ name: 'file', prefix: 'pre/fix', data: 'q' }),
      sealed(big), Buffer.from('abc'), Buffer.alloc(509), Buffer.alloc(1024),
    ])
    expect(box.untar(input)).toMatchObject({ status: 0, err: '' })
    expect(lstatSync(at('pax/née'))).toMatchObject({ uid: 70000, mtimeMs: 12500 })
    expect(readFileSync(at('pre/fix/file'), 'utf8')).toBe('q')
    expect(readFileSync(at('b'), 'utf8')).toBe('abc')
  })

  it('names directories without an entry, and hard links whose target lies below', () => {
    const { out } = box.untar(archive(
      { name: 'x/y/file', data: '1' },
      { name: 'x/', type: '5', mode: 0o700 },
      { name: 'z/link', type: '1', link: 'bin/tool' },
    ))
    expect(out.split('\n')).toEqual(['implicit x/y', 'implicit z', 'below z/link\tbin/tool', 'done 3 1', ''])
  })

  it('leads a link to a link whose target lies below to that target', () => {
    const { out } = box.untar(archive({ name: 'a', type: '1', link: 'tool' }, { name: 'b', type: '1', link: 'a' }, { name: 'c', type: '1', link: './b' }))
    expect(out.split('\n')).toEqual(['below a\ttool', 'below b\ttool', 'below c\ttool', 'done 3 0', ''])
  })

  it('says what the archive has for the root directory', () => {
    const { out } = box.untar(archive({ name: './', type: '5', mode: 0o1711, uid: 7 }, { name: 'a', data: '' }))
    expect(out.split('\n')).toEqual(['root 1711 7 0', 'done 2 0', ''])
    expect(lstatSync(box.layer)).toMatchObject({ mode: 0o41711, uid: 7 })
  })

  it('lets a later entry replace an earlier one of another kind', () => {
    expect(box.untar(archive(
      { name: 'a/b/c', data: '1' }, { name: 'a', data: 'file' },
      { name: 'f', data: '1' }, { name: 'f/', type: '5' }, { name: 'f/g', data: '2' },
      { name: 'l', type: '2', link: 'f' }, { name: 'l', data: 'own' },
    )).status).toBe(0)
    expect(readFileSync(at('a'), 'utf8')).toBe('file')
    expect(readFileSync(at('f/g'), 'utf8')).toBe('2')
    expect(readFileSync(at('l'), 'utf8')).toBe('own')
  })

  it('makes hard links, and reads on after the end of the archive', () => {
    const input = Buffer.concat([
      archive({ name: 'a', data: 'x' }, { name: 'b', type: '1', link: '/a' }), Buffer.alloc(300_000, 1),
    ])
    expect(box.untar(input).status).toBe(0)
    expect(lstatSync(at('a')).ino).toBe(lstatSync(at('b')).ino)
  })
})

describe('whiteouts', () => {
  it('makes devices of them, in any order relative to what they hide', () => {
    expect(box.untar(archive(
      { name: 'd/.wh.gone' },
      { name: '.wh.before' }, { name: 'before/', type: '5' }, { name: 'before/new', data: '1' },
      { name: 'after/new', data: '1' }, { name: '.wh.after' },
      { name: '.wh.file' }, { name: 'file', data: '1' },
    ))).toMatchObject({ status: 0, err: '' })
    expect(isWhiteout('d/gone')).toBe(true)
    expect(readFileSync(at('file'), 'utf8')).toBe('1')
    for (const name of ['before', 'after']) {
      expect(readdirSync(at(name))).toEqual(['new'])
      expect(opaque(name)).toBe(true)
    }
  })

  it('leaves no whiteout inside an opaque directory', () => {
    expect(box.untar(archive(
      { name: 'o/.wh.x' }, { name: 'o/sub/.wh.y' }, { name: 'o/kept', data: '1' }, { name: 'o/.wh..wh..opq' },
    )).status).toBe(0)
    expect(readdirSync(at('o')).sort()).toEqual(['kept', 'sub'])
    expect(readdirSync(at('o/sub'))).toEqual([])
    expect(opaque('o')).toBe(true)
  })

  it('ignores the other names aufs keeps for itself', () => {
    expect(box.untar(archive({ name: '.wh..wh.plnk/1.2', data: 'x' }, { name: '.wh..wh.aufs' })).status).toBe(0)
    expect(readdirSync(box.layer)).toEqual([])
  })
})

describe('hostile archives', () => {
  const file = (name: string): Entry => ({ name, data: 'evil' })
  const cases: Readonly<Record<string, readonly [RegExp, ...Entry[]]>> = {
    'dots in a name': [/\.\./, file('../secret')],
    'dots in the middle': [/\.\./, file('a/../../secret')],
    'dots in a PAX path': [/\.\./, { name: 'x', pax: { path: 'a/../../secret' }, data: 'evil' }],
    'a NUL in a PAX path': [/NUL/, { name: 'x', pax: { path: 'a\0b' }, data: 'evil' }],
    'a file through a symbolic link': [/symbolic link/, { name: 'l', type: '2', link: '..' }, file('l/secret')],
    'a file through two symbolic links': [/symbolic link/, { name: 'a', type: '2', link: '..' },
      { name: 'b', type: '2', link: 'a' }, file('b/secret')],
    'a directory through a symbolic link': [/symbolic link/, { name: 'l', type: '2', link: '..' }, { name: 'l/d/', type: '5' }],
    'a directory replaced by a link': [/symbolic link/, { name: 'd/', type: '5' }, file('d/x'),
      { name: 'd', type: '2', link: '..' }, file('d/secret')],
    'the root replaced by a link': [/root/, { name: './', type: '2', link: '/etc' }],
    'the root replaced by a file': [/root/, file('.')],
    'a hard link out by dots': [/\.\./, { name: 'h', type: '1', link: '../secret' }],
    'a hard link through a symbolic link': [/symbolic link/, { name: 'l', type: '2', link: '..' },
      { name: 'h', type: '1', link: 'l/secret' }],
    'two symbolic links and a hard link': [/symbolic link/, { name: 'a', type: '2', link: '..' },
      { name: 'b', type: '2', link: 'a/secret' }, { name: 'h', type: '1', link: 'a/secret' }],
    'a hard link to a directory': [/directory/, { name: 'd/', type: '5' }, { name: 'h', type: '1', link: 'd' }],
    'a hard link to a whiteout': [/removed/, { name: '.wh.x' }, { name: 'h', type: '1', link: 'x' }],
    'a whiteout through a symbolic link': [/symbolic link/, { name: 'l', type: '2', link: '..' }, { name: 'l/.wh.secret' }],
    'opaque through a symbolic link': [/symbolic link/, { name: 'l', type: '2', link: '..' }, { name: 'l/.wh..wh..opq' }],
    'a whiteout of nothing': [/whiteout/, { name: '.wh.' }],
    'a whiteout of the directory itself': [/whiteout/, { name: 'd/.wh..' }],
    'a whiteout of the parent': [/whiteout/, { name: 'd/.wh...' }],
    'a name inside a whiteout': [/whiteout/, file('.wh.x/y')],
    'a device shaped like a whiteout': [/whiteout/, { name: 'x', type: '3' }],
    'a GNU sparse file': [/sparse/, { name: 'x', type: 'S' }],
    'a PAX sparse file': [/sparse/, { name: 'x', pax: { 'GNU.sparse.major': '1' } }],
    'a global header that renames': [/global/, { name: 'g', type: 'g', data: '16 path=../evil\n' }],
    'a malformed extended header': [/malformed/, { name: 'x', type: 'x', data: '99 path=a\n' }],
    'a huge extended header': [/too large/, { name: 'x', type: 'x', size: 1 << 30 }],
    'nesting without end': [/nested/, { name: 'x', pax: { path: 'a/'.repeat(300) + 'b' } }],
    'an unknown kind of entry': [/unknown/, { name: 'x', type: 'Q' }],
    'a line break in a reported name': [/control/, file('a\nbelow x/y')],
    'a size beyond the data': [/cut off/, { name: 'x', size: 1 << 20 }],
  }
  for (const [name, [reason, ...entries]] of Object.entries(cases)) {
    it(`refuses ${name}`, () => {
      const { status, err } = box.untar(archive(...entries))
      expect(status).toBe(1)
      expect(err).toMatch(/^untar .*: .*\n$/)
      expect(err).toMatch(reason)
      expect(readFileSync(box.secret, 'utf8')).toBe('secret')
      expect(lstatSync(box.secret)).toMatchObject({ mode: 0o100600, nlink: 1 })
      expect(readdirSync(box.root).sort()).toEqual(['layer', 'secret'])
    })
  }

  it('refuses a corrupt header and a cut archive', () => {
    const whole = archive(file('a'))
    expect(box.untar(whole.subarray(0, 700)).err).toMatch(/cut off/)
    const corrupt = Buffer.from(whole)
    corrupt[0] = 0x7a
    const other = sandbox()
    expect(other.untar(corrupt).err).toMatch(/checksum/)
    other.remove()
  })

  it('stops at the size it was allowed', () => {
    expect(box.untar(archive({ name: 'x', data: Buffer.alloc(2000) }), '--max-bytes', '1999').err).toMatch(/larger/)
  })

  it('keeps a symbolic link that points outside as a link only', () => {
    expect(box.untar(archive({ name: 'l', type: '2', link: '/etc/passwd', uid: 5 })).status).toBe(0)
    expect(readlinkSync(at('l'))).toBe('/etc/passwd')
    expect(lstatSync(at('l')).uid).toBe(5)
  })

  it('makes absolute names relative and drops overlay attributes', () => {
    expect(box.untar(archive(
      { name: '/etc/x', data: '1' },
      { name: 'd/', type: '5', mode: 0o755, pax: { 'SCHILY.xattr.trusted.overlay.opaque': 'y', 'SCHILY.xattr.trusted.own': 'v' } },
    )).status).toBe(0)
    expect(readFileSync(at('etc/x'), 'utf8')).toBe('1')
    expect(opaque('d')).toBe(false)
  })

  it('refuses a directory that is not empty', () => {
    writeFileSync(at('there'), '')
    expect(box.untar(archive(file('a'))).err).toMatch(/not empty/)
  })
})

/** Whether the layer archive that `tar` writes calls the directory opaque. */
function opaque(name: string): boolean {
  return execFileSync(nativeBinary(), ['tar', '--layer', box.layer]).includes(`${name}/.wh..wh..opq\0`)
}
