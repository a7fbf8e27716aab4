// The name server of a network, asked from inside. Run as root and as an ordinary user.
import { randomUUID } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { afterAll, expect, test } from 'vitest'
import { endRun, network, run, type Container } from '../../packages/core/src/container/index.js'
import { useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)

const root = process.geteuid?.() === 0
const sleeper = { command: ['sleep', '1000'] }
const [A, PTR, AAAA, TXT, ANY] = [1, 12, 28, 16, 255]
const [NOERROR, FORMERR, NXDOMAIN, NOTIMP, REFUSED] = [0, 1, 3, 4, 5]

function question(name: string, type: number, { id = 7, flags = 0x0100, questions = 1, kind = 1 } = {}): Buffer {
  const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label)])
  const head = [id >> 8, id & 255, flags >> 8, flags & 255, 0, questions, 0, 0, 0, 0, 0, 0]
  return Buffer.from([...head, ...labels, 0, type >> 8, type & 255, kind >> 8, kind & 255])
}

/** Sends a message to the container's name server, and what came back. */
async function send(from: Container, gateway: string, message: Buffer, tcp = false): Promise<Buffer> {
  const bytes = tcp ? Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]) : message
  const octal = [...bytes].map((byte) => `\\0${byte.toString(8).padStart(3, '0')}`).join('')
  const file = `/tmp/${randomUUID()}`
  const { stdout } = await from.exec(['bash', '-c', [
    `printf '%b' '${octal}' > ${file}; exec 3<>/dev/${tcp ? 'tcp' : 'udp'}/${gateway}/53; dd if=${file} bs=65535 >&3 2>/dev/null`,
    `timeout 0.5 dd bs=65535 count=1 <&3 2>/dev/null | od -An -v -tx1`,
  ].join('\n')])
  const answer = Buffer.from(stdout.replace(/\s/g, ''), 'hex')
  return tcp ? answer.subarray(2) : answer
}

function read(answer: Buffer): { code: number; cut: boolean; answers: number; addresses: string[] } {
  const addresses: string[] = []
  for (let at = answer.length - 4 * 4; at > 12 && answer.readUInt16BE(at) === 0xc00c && answer.readUInt16BE(at + 2) === A; at -= 16) addresses.unshift([...answer.subarray(at + 12, at + 16)].join('.'))
  return { code: answer.readUInt8(3) & 15, cut: (answer.readUInt8(2) & 2) !== 0, answers: answer.readUInt16BE(6), addresses }
}

test('names, addresses and odd questions', async () => {
  await using net = await network({ internal: true })
  await using db = await run('busybox', { ...sleeper, network: net, aliases: ['db.test'], name: 'Data-Base' })
  await using client = await run('debian', { ...sleeper, network: net, dns: ['192.0.2.1'] })
  const ask = async (message: Buffer, tcp = false): Promise<ReturnType<typeof read>> => read(await send(client, net.gateway, message, tcp))
  const reverse = `${db.ip.split('.').reverse().join('.')}.in-addr.arpa`
  const cases: [string, Buffer, Partial<ReturnType<typeof read>>][] = [
    ['an address', question('db.test', A), { code: NOERROR, addresses: [db.ip] }],
    ['capitals', question('DB.tEsT', A), { code: NOERROR, addresses: [db.ip] }],
    ['the name of the container', question('data-base', A), { code: NOERROR, addresses: [db.ip] }],
    ['ANY', question('db.test', ANY), { code: NOERROR, addresses: [db.ip] }],
    ['IPv6, which it has not', question('db.test', AAAA), { code: NOERROR, answers: 0 }],
    ['another type', question('db.test', TXT), { code: NOERROR, answers: 0 }],
    ['a type that nobody knows', question('db.test', 65_280), { code: NOERROR, answers: 0 }],
    ['the name of an address', question(reverse, PTR), { code: NOERROR, answers: 1 }],
    ['an address of nobody', question('250.255.19.198.in-addr.arpa', PTR), { code: NXDOMAIN, answers: 0 }],
    ['a bare name of nobody', question('nobody', A), { code: NXDOMAIN }],
    ['the world outside of an internal network', question('example.org', A), { code: NXDOMAIN }],
    ['the host', question('host.docker.internal', A), { code: NOERROR, answers: 1 }],
    ['another class', question('db.test', A, { kind: 3 }), { code: REFUSED }],
    ['an update', question('db.test', A, { flags: 5 << 11 }), { code: NOTIMP }],
    ['two questions', question('db.test', A, { questions: 2 }), { code: FORMERR }],
    ['no question', question('db.test', A, { questions: 0 }), { code: FORMERR }],
    ['a name that points to itself', Buffer.concat([question('x', A).subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]), { code: FORMERR }],
    ['a name that does not end', Buffer.concat([question('x', A).subarray(0, 12), Buffer.from([63, 65, 65])]), { code: FORMERR }],
    ['half a question', question('db.test', A).subarray(0, -3), { code: FORMERR }],
    ['a name of 255 bytes', question(Array.from({ length: 5 }, () => 'x'.repeat(60)).join('.'), A), { code: FORMERR }],
  ]
  await Promise.all(cases.map(async ([what, message, wanted]) => expect([what, await ask(message)]).toEqual([what, expect.objectContaining(wanted)])))
  // Answers, and what is too short for a question, are left alone.
  for (const message of [question('db.test', A, { flags: 0x8100 }), Buffer.from('x'), question('db.test', A).subarray(0, 11)]) {
    expect(await send(client, net.gateway, message)).toHaveLength(0)
  }
  expect(await ask(question('db.test', A), true)).toMatchObject({ code: NOERROR, addresses: [db.ip] })
  expect((await db.exec(['nslookup', 'db.test'])).stdout).toContain(db.ip)
  expect((await client.exec(['cat', '/etc/resolv.conf'])).stdout).toContain(`nameserver ${net.gateway}\n`)
})

test('those who share an alias take turns', async () => {
  await using net = await network()
  const workers = await Promise.all(Array.from({ length: 3 }, () => run('busybox', { ...sleeper, network: net, aliases: ['worker'] })))
  await using client = await run('debian', { ...sleeper, network: net })
  const answers = await Promise.all(Array.from({ length: 6 }, async () => read(await send(client, net.gateway, question('worker', A))).addresses))
  for (const one of answers) expect([...one].sort()).toEqual(workers.map(({ ip }) => ip).sort())
  expect(new Set(answers.map(([first]) => first)).size).toBe(3)
  await Promise.all(workers.map((one) => one.stop({ timeout: 0 })))
  expect(read(await send(client, net.gateway, question('worker', A))).code).toBe(NXDOMAIN)
})

test('an answer too large for a datagram says so, and is whole over TCP', async () => {
  await using net = await network({ size: 60 })
  await using client = await run('debian', { ...sleeper, network: net, aliases: ['client'] })
  const many = await Promise.all(Array.from({ length: 35 }, () => run('busybox', { ...sleeper, network: net, aliases: ['many'] })))
  const short = await send(client, net.gateway, question('many', A))
  expect(short.length).toBeLessThanOrEqual(512)
  expect(read(short)).toMatchObject({ code: NOERROR, cut: true })
  const whole = read(await send(client, net.gateway, question('many', A), true))
  expect(whole).toMatchObject({ code: NOERROR, cut: false, answers: 35 })
  expect([...whole.addresses].sort()).toEqual(many.map(({ ip }) => ip).sort())
  await Promise.all(many.map((one) => one.stop({ timeout: 0 })))
})

/** A name server that knows one thing. */
async function upstream(address: string, answer: (query: Buffer) => Buffer | undefined): Promise<{ socket: Socket; asked: () => number }> {
  const socket = createSocket('udp4')
  let asked = 0
  socket.on('message', (query, from) => {
    asked += 1
    const reply = answer(query)
    if (reply !== undefined) socket.send(reply, from.port, from.address)
  })
  await new Promise<void>((resolve) => socket.bind(53, address, resolve))
  return { socket, asked: () => asked }
}

function found(query: Buffer): Buffer {
  const reply = Buffer.concat([query, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 9])])
  reply.writeUInt16BE(0x8180, 2)
  reply.writeUInt16BE(1, 6)
  return reply
}

test.skipIf(!root)('other names are asked outside, of the next server when one is silent', async () => {
  const silent = await upstream('127.0.0.152', () => undefined)
  const good = await upstream('127.0.0.153', found)
  try {
    await using net = await network()
    await using client = await run('debian', { ...sleeper, network: net, dns: ['127.0.0.152', '127.0.0.153'], dnsSearch: ['corp.test'], dnsOptions: ['timeout:1'] })
    expect((await client.exec(['cat', '/etc/resolv.conf'])).stdout).toBe(`nameserver ${net.gateway}\nsearch corp.test\noptions timeout:1\n`)
    const message = question('www.example.test', A)
    await send(client, net.gateway, message)
    expect((await client.exec(['getent', 'hosts', 'www.example.test'])).stdout).toContain('203.0.113.9')
    expect(silent.asked()).toBeGreaterThan(0)
    expect(good.asked()).toBeGreaterThan(0)
    // Nobody else is told of bare names.
    const before = silent.asked() + good.asked()
    expect(read(await send(client, net.gateway, question('nobody', A))).code).toBe(NXDOMAIN)
    expect(silent.asked() + good.asked()).toBe(before)
  } finally {
    silent.socket.close()
    good.socket.close()
  }
})

test('extra hosts, the machine among them', async () => {
  await using client = await run('busybox', { ...sleeper, extraHosts: { api: '192.0.2.7', six: '2001:db8::1', me: 'host-gateway' } })
  const hosts = (await client.exec(['cat', '/etc/hosts'])).stdout
  expect(hosts).toMatch(/^192\.0\.2\.7\tapi$/m)
  expect(hosts).toMatch(/^2001:db8::1\tsix$/m)
  const host = /^(\S+)\thost\.mayfly\.internal host\.docker\.internal$/m.exec(hosts)?.[1]
  expect(hosts).toContain(`${host ?? ''}\tme\n`)
})

test.each([[{ dns: ['dns.test'] }], [{ dnsSearch: ['a b'] }], [{ dnsOptions: ['x y'] }], [{ extraHosts: { 'a b': '1.1.1.1' } }], [{ extraHosts: { a: 'somewhere' } }]])('%j is refused', async (options) => {
  await expect(run('busybox', { ...sleeper, ...options })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})
