// Writes the seeds a fuzzer begins with: node packages/native/fuzz/seeds.mjs. Those found by fuzzing lie beside them.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const seeds = join(dirname(fileURLToPath(import.meta.url)), 'seeds')

const number = (bytes) => (value) => Buffer.from(Array.from({ length: bytes }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 255n)))
const [u8, u16, u32, u64] = [1, 2, 4, 8].map(number)
const bytes = (data) => Buffer.concat([u32(Buffer.byteLength(data)), Buffer.from(data)])
const frame = (kind, id, ...fields) => {
  const payload = Buffer.concat(fields)
  return Buffer.concat([u32(payload.length), u8(kind), u32(id), payload])
}
const request = (id, method, ...fields) => frame(1, id, u16(method), ...fields)
const data = (id, ...fields) => frame(5, id, ...fields)
const end = (id) => frame(6, id)
const credit = (id, count) => frame(7, id, u32(count))
const operation = (op, ...fields) => {
  const payload = Buffer.concat(fields)
  return Buffer.concat([u16(op), u16(0), u32(payload.length), payload])
}

const EXEC = 33, AWAIT = 34
const list = Buffer.concat([operation(1, u8(1)), operation(4, bytes('host')), operation(32, u16(1), bytes('sh')), operation(EXEC)])
const waiting = Buffer.concat([operation(2), operation(AWAIT)])
const create = (id, name, operations = list, limits = u16(0), [namespaces, pidOf] = [0x20020000, '']) =>
  request(id, 2, bytes(name), u32(1), u32(namespaces), bytes(pidOf), bytes('{"name":"x"}'), bytes(''), limits, u32(64), bytes(operations))
const logs = (id, name, flags) => request(id, 8, bytes(name), u32(flags), u64(0), u32(1), u32(100))
const port = (id, name, where, number, hold) => request(id, 11, u32(name), u8(where), u32(0x7f000001), u16(number), u32(hold), bytes(''))

const streams = {
  hello: [request(1, 1, u32(1), bytes('0.1.0'), bytes('token'))],
  create: [create(1, 'a'), create(2, 'b', waiting), request(3, 3, bytes('b'), u32(4), bytes('{}'), bytes(''), u16(0), u32(0), bytes(list)), request(4, 18)],
  terminal: [create(1, 'a'), request(2, 4, bytes('a'), u32(3), u32(1000), bytes(list)), request(3, 10, bytes('a'), u32(1), u16(80), u16(24)), data(2, Buffer.from('typed')), request(4, 4, bytes('a'), u32(9), u32(0), bytes(list)), end(2)],
  held: [create(1, 'a'), request(2, 8, bytes('a'), u32(15), u64(0), u32(1), u32(10)), request(3, 9, bytes('a'), u32(0)), request(4, 9, bytes('a'), u32(0)), credit(2, 500), data(4, Buffer.from('typed')), end(3), end(2)],
  kinds: ['a', 'b', 'c', 'd', 'e', 'f'].map((name, at) => create(at + 1, name)),
  exec: [create(1, 'a'), request(2, 4, bytes('a'), u32(1), u32(1000), bytes(list)), data(2, Buffer.from('input')), credit(2, 500), end(2), request(3, 5, bytes('a'), u32(1), u32(9))],
  'log-stream': [create(1, 'a'), logs(2, 'a', 7), credit(2, 5), logs(3, 'a', 2), request(4, 6, bytes('a')), request(5, 7, bytes('a')), end(2)],
  attach: [create(1, 'a'), request(2, 9, bytes('a'), u32(0)), data(2, Buffer.from('typed')), end(2), request(3, 10, bytes('a'), u32(0), u16(80), u16(24))],
  ports: [create(1, 'a'), port(2, 1, 1, 0, 1), port(3, 2, 2, 0, 0), request(4, 12, u32(2), bytes('a'), u32(0x7f000001), u16(80), bytes('')), request(5, 15, bytes('a'), u16(80), u8(0)), end(5), request(6, 13, u32(2))],
  datagrams: [create(1, 'a'), request(2, 11, u32(1), u8(1), u32(0), u16(0), u32(2), bytes('127.0.0.1')), request(3, 12, u32(1), bytes('a'), u32(0x7f000001), u16(53), bytes('')), request(4, 11, u32(2), u8(1), u32(0), u16(3), u32(0), bytes('::1')), request(5, 7, bytes('a')), request(6, 13, u32(1))],
  outbound: [request(1, 39, bytes(''), u32(0), u16(0)), request(2, 39, bytes('out0'), u32(0xC613FF02), u16(2), bytes('/usr/bin/relay'), bytes('@'))],
  handed: [request(1, 11, u32(1), u8(1), u32(0), u16(0), u32(4), bytes('')), request(2, 12, u32(1), bytes('a'), u32(0x7f000001), u16(80), bytes('')), request(3, 2, bytes('a'), u32(16), u32(0x20020000), bytes(''), bytes('{}'), bytes(''), u16(0), u32(64), bytes(Buffer.concat([operation(55, bytes(Buffer.alloc(8))), operation(EXEC)]))), request(4, 15, bytes('a'), u16(80), u8(0)), request(5, 7, bytes('a')), request(6, 13, u32(1))],
  reach: [create(1, 'a'), request(2, 11, u32(1), u8(4), u32(0), u16(8080), u32(0), bytes('')), request(3, 38, u32(1), u16(1), u32(0x7f000001), u8(32)), request(4, 22, bytes('a'), bytes('unix')), request(5, 11, u32(2), u8(3), u32(0), u16(0), u32(0), bytes('/nowhere/socket')), request(6, 12, u32(2), bytes('a'), u32(0), u16(0), bytes('/run/socket'))],
  cgroup: [create(1, 'a'), request(2, 16, bytes('a'), bytes('memory'), bytes('memory.current')), request(3, 17, bytes('a'), bytes('pids'), bytes('pids.max'), bytes('5')), request(4, 14, bytes('a')), request(5, 20, bytes('a'), bytes('label'))],
  limits: [create(1, 'a', list, Buffer.concat([u16(1), bytes('pids'), bytes('pids.max'), bytes('10')]))],
  shared: [create(1, 'a'), create(2, 'b', list, u16(0), [0x20000, 'a']), create(3, 'c', list, u16(0), [0x20000, 'gone']), request(4, 21, bytes('a')), request(5, 7, bytes('a'))],
  networks: [create(1, 'a'), request(2, 33, u32(1), u32(0xC6120401), u8(27), u32(0)), request(3, 33, u32(2), u32(0xC6120421), u8(27), u32(1)), request(4, 37, u32(1), u16(1), bytes('db'), u32(0xC6120402), u16(1), u32(0), u32(0x7f000001), u16(53)), request(5, 35, bytes('a'), u8(1), u32(1), u32(0xC6120403), u32(0)), request(6, 36, bytes('a'), u8(1)), request(7, 34, u32(2))],
  faults: [create(1, 'a'), request(2, 40, u32(1), bytes('a'), u8(1), u8(3), u8(6), u32(0), u16(80), u64(5000000), u64(1000)), request(3, 40, u32(2), bytes('a'), u8(4), u8(2), u8(0), u32(0xC6120003), u16(0), u64(1000), u64(0)), request(4, 42, bytes('a'), u32(0), u16(80)), request(5, 43, bytes('a'), u64(4096)), request(6, 41, u32(1)), request(7, 43, bytes('a'), u64(2n ** 64n - 1n))],
  restart: [create(1, 'a', Buffer.concat([operation(20, u8(0)), list])), request(2, 5, bytes('a'), u32(0), u32(9)), request(3, 23, bytes('a'), u32(4), bytes(Buffer.concat([operation(59), list]))), request(4, 8, bytes('a'), u32(22), u64(0), u32(1), u32(100)), request(5, 23, bytes('a'), u32(0), bytes(list)), request(6, 7, bytes('a'))],
  files: [create(1, 'a', Buffer.concat([operation(20, u8(0)), list])), request(2, 4, bytes('a'), u32(33), u32(1000), bytes(Buffer.concat([operation(56), operation(58, bytes('/x'), u32(3), u32(0), u32(0), u32(0xffffffff))]))), data(2, Buffer.from('tar')), end(2), request(3, 4, bytes('a'), u32(32), u32(1000), bytes(Buffer.concat([operation(56), operation(57, bytes('/x'), u32(1))]))), credit(3, 500), request(4, 7, bytes('a'))],
  created: [create(1, 'b', Buffer.concat([operation(20, u8(0)), waiting])), request(2, 4, bytes('b'), u32(32), u32(1000), bytes(Buffer.concat([operation(56), operation(57, bytes('/x'), u32(0))]))), request(3, 3, bytes('b'), u32(0), bytes('{}'), bytes(''), u16(0), u32(0), bytes(waiting)), request(4, 3, bytes('b'), u32(0), bytes('{}'), bytes(''), u16(0), u32(0), bytes(list))],
  shutdown: [create(1, 'a'), request(2, 19)],
}

mkdirSync(join(seeds, 'protocol'), { recursive: true })
for (const [name, frames] of Object.entries(streams)) writeFileSync(join(seeds, 'protocol', name), Buffer.concat(frames))

const question = (flags, name, type, rest = {}) => Buffer.concat([
  u8(flags), Buffer.from([1, 2, rest.high ?? 1, 0, 0, rest.count ?? 1, 0, 0, 0, 0, 0, 0]),
  ...name.split('.').map((label) => Buffer.concat([u8(label.length), Buffer.from(label)])), Buffer.from([0, type >> 8, type & 255, 0, 1]),
])
const questions = {
  address: question(2, 'db.test', 1), many: question(2, 'many', 1), whole: question(3, 'many', 255), reverse: question(2, '5.0.18.198.in-addr.arpa', 12),
  long: question(2, '39.0.18.198.in-addr.arpa', 12), outside: question(8, 'www.example.test', 28), nobody: question(4, 'nobody', 1),
  update: question(2, 'db.test', 1, { high: 0x29 }), two: question(2, 'db.test', 1, { count: 2 }),
}
mkdirSync(join(seeds, 'dns'), { recursive: true })
for (const [name, bytes] of Object.entries(questions)) writeFileSync(join(seeds, 'dns', name), bytes)

const ethernet = (protocol, rest, options = '') => {
  const ip = Buffer.from(`${(0x45 + options.length / 8).toString(16)}000000000040004006000001c6120003c6120002${options}`, 'hex')
  ip.writeUInt16BE(ip.length + rest.length, 2)
  ip[9] = protocol
  return Buffer.concat([Buffer.from('0200000000020200000000030800', 'hex'), ip, rest])
}
const tcp = (flags, payload = '') => Buffer.concat([Buffer.from('18ebc35000000100000002005000ffff00000000', 'hex').fill(flags, 13, 14), Buffer.from(payload)])
const ethernets = {
  syn: ethernet(6, tcp(2)), data: ethernet(6, tcp(24, 'PING'.repeat(800))), fin: ethernet(6, tcp(17, 'bye'), '01010101'),
  datagram: ethernet(17, Buffer.from('0035c350000c0000abcd', 'hex')), neighbour: Buffer.from('ffffffffffff0200000000030806000108000604000102', 'hex'),
}
mkdirSync(join(seeds, 'frame'), { recursive: true })
for (const [name, bytes] of Object.entries(ethernets)) writeFileSync(join(seeds, 'frame', name), bytes)

const { constants, gzipSync } = await import('node:zlib')
const text = Buffer.from(Array.from({ length: 4000 }, (_, i) => 'mayflies live for a day '.charCodeAt((i * i) % 24)))
mkdirSync(join(seeds, 'inflate'), { recursive: true })
for (const [name, options] of Object.entries({ dynamic: {}, fixed: { strategy: constants.Z_FIXED }, stored: { level: 0 }, literals: { strategy: constants.Z_HUFFMAN_ONLY } })) {
  writeFileSync(join(seeds, 'inflate', name), gzipSync(text, options))
}
writeFileSync(join(seeds, 'inflate', 'members'), Buffer.concat([gzipSync('one'), gzipSync('two'), Buffer.from('rest')]))

mkdirSync(join(seeds, 'deflate'), { recursive: true })
const words = Buffer.from(Array.from({ length: 4000 }, (_, nth) => `${nth * 7919 % 1009} `).join(''))
const scattered = Buffer.from(Array.from({ length: 40_000 }, (_, nth) => (nth * nth * 31 + nth * 7919) >> 5 & 255))
for (const [name, times, piece, content] of [['one', 0, 0, Buffer.from('x')], ['words', 15, 3, words], ['runs', 9, 255, Buffer.alloc(32_000, 'ab')], ['scattered', 7, 40, scattered]]) {
  writeFileSync(join(seeds, 'deflate', name), Buffer.concat([Buffer.from([times, piece]), content]))
}

const tree = mkdtempSync(join(tmpdir(), 'mf-seeds-'))
mkdirSync(join(tree, 'd/e'), { recursive: true })
writeFileSync(join(tree, 'd/e/file'), 'content')
writeFileSync(join(tree, 'd/.wh.gone'), '')
writeFileSync(join(tree, 'd/e/.wh..wh..opq'), '')
writeFileSync(join(tree, '.wh.d'), '')
writeFileSync(join(tree, 'long'.repeat(40)), 'x')
symlinkSync('../secret', join(tree, 'link'))
symlinkSync('d', join(tree, 'within'))
execFileSync('ln', [join(tree, 'd/e/file'), join(tree, 'hard')])
execFileSync('mkfifo', [join(tree, 'pipe')])
mkdirSync(join(seeds, 'untar'), { recursive: true })
mkdirSync(join(seeds, 'copy'), { recursive: true })
for (const format of ['gnu', 'pax', 'ustar', 'v7']) {
  const words = [`--format=${format}`, '--sort=name', '--mtime=@1', '--owner=0', '--group=0', '-b1', '-C', tree, '-cf', '-']
  const own = format === 'pax' ? ['--pax-option=exthdr.name=%d/x/%f,delete=atime,delete=ctime'] : []
  const names = format === 'v7' || format === 'ustar' ? ['d', 'link', 'within', 'hard'] : ['.']
  writeFileSync(join(seeds, 'untar', format), execFileSync('tar', [...words, ...own, ...names]))
  // One for each way to copy: the last byte chooses.
  writeFileSync(join(seeds, 'copy', format), Buffer.concat([execFileSync('tar', [...words, ...own, '--exclude=.wh.*', ...names]), u8(['gnu', 'pax', 'ustar', 'v7'].indexOf(format))]))
}
rmSync(tree, { recursive: true })
