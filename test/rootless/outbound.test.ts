// An ordinary user's ways out: pasta, slirp4netns, a proxy. Into an internet of our own, and nothing of the real one.
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startRegistry } from '../images/registry.mjs'
import { internet } from '../network/internet.js'
import { makeUser, processesOf, withoutUser, type User } from './user.js'

const why = withoutUser() ?? (['/usr/sbin/ip', '/sbin/ip', '/bin/ip'].some((path) => existsSync(path)) ? undefined : 'iproute2 is not installed')
if (why !== undefined) process.stderr.write(`an ordinary user's ways out are not tested: ${why}\n`)

/** Not the one whose processes test/rootless/rootless counts meanwhile. */
const USER = 61_001
const common = `
  import { createServer } from 'node:http'
  import { endRun, info } from '@mayfly/core/engine'
  import { network, reach, run } from '@mayfly/core'
  const sleeper = { command: ['sleep', '1000'] }
  const secret = createServer((q, s) => s.end('secret')).listen(0, '127.0.0.1')
  await new Promise((resolve) => secret.once('listening', resolve))
  const { port } = secret.address()
  const get = async (container, url) => (await container.exec(['wget', '-q', '-T', '2', '-O', '-', url])).stdout
  const tell = async (result) => { console.log('RESULT ' + JSON.stringify(result)); await endRun(); process.exit(0) }
`
const relayed = `${common}
  const [open, internal] = await Promise.all([network(), network({ internal: true })])
  const lone = await run('debian', sleeper)
  const [inside, shut] = await Promise.all([open, internal].map((net) => run('busybox', { ...sleeper, network: net })))
  const url = 'http://203.0.113.1/'
  const bash = async (script) => (await lone.exec(['bash', '-c', script])).stdout.trim()
  await tell({
    outbound: (await info()).outbound, lone: await bash('exec 3<>/dev/tcp/203.0.113.1/80; printf "GET / HTTP/1.0\\\\r\\\\n\\\\r\\\\n" >&3; tail -n1 <&3'), inside: await get(inside, url), shut: await get(shut, url),
    datagram: await bash('exec 3<>/dev/udp/203.0.113.1/7; echo there and back >&3; timeout 5 head -n1 <&3'),
    loopback: await Promise.all(['198.19.255.2', '10.0.2.2', '127.0.0.1'].map((host) => get(inside, 'http://' + host + ':' + port + '/'))),
    env: (await inside.exec(['env'])).stdout.includes('http_proxy'),
  })
`
const proxied = `${common}
  const [open, other, internal] = await Promise.all([network(), network(), network({ internal: true })])
  const web = await run('busybox', { command: 'echo peer > /index.html; exec httpd -f -p 80 -h /', network: open, aliases: ['web'], ports: [80] })
  const asker = await run('debian', { ...sleeper, network: open })
  const lone = await run('busybox', { ...sleeper, env: { https_proxy: 'http://mine.test:1' } })
  const near = await run('busybox', { command: 'echo near > /index.html; exec httpd -f -p 80 -h /', ports: [80] })
  const stranger = await run('busybox', { ...sleeper, network: other })
  const shut = await run('busybox', { ...sleeper, network: internal })
  const connect = async (to, who) => (await asker.exec(['bash', '-c', [
    'url=$http_proxy; who=\${url#http://}; who=\${who%@*}; at=\${url##*:}', who === undefined ? '' : 'who=' + who,
    'exec 3<>/dev/tcp/host.mayfly.internal/$at',
    'printf "CONNECT ' + to + ' HTTP/1.1\\\\r\\\\nHost: x\\\\r\\\\nProxy-Authorization: Basic %s\\\\r\\\\n\\\\r\\\\n" "$(printf %s: "$who" | base64 -w0)" >&3',
    'printf "GET /index.html HTTP/1.0\\\\r\\\\n\\\\r\\\\n" >&3; timeout 5 cat <&3',
  ].join('\\n')])).stdout.split('\\r\\n')
  const tunnel = await connect('203.0.113.1:80')
  const peer = await connect('web:80')
  const env = Object.fromEntries((await lone.exec(['env'])).stdout.split('\\n').filter((line) => /proxy/i.test(line)).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1).replace(lone.id, 'ID').replace(/:\\d+$/, ':N')]))
  const before = await get(lone, 'http://host.mayfly.internal:' + port + '/')
  const lent = await lone.reach(secret)
  await tell({
    outbound: (await info()).outbound, lone: await get(lone, 'http://203.0.113.1/'), env,
    shut: [(await shut.exec(['env'])).stdout.includes('proxy'), await get(shut, 'http://203.0.113.1/')],
    tunnel: [tunnel[0], tunnel.at(-1)], peer: [peer[0], peer.at(-1).trim()], stranger: await get(stranger, 'http://web/index.html'),
    near: await Promise.all([lone, stranger, shut].map((one) => get(one, 'http://' + near.ip + '/index.html'))),
    refused: await Promise.all(['127.0.0.1:' + port, '[::1]:' + port, 'localhost:' + port, 'nobody:80', '[::ffff:127.0.0.1]:' + port].map(async (to) => (await connect(to))[0])),
    unknown: (await connect('203.0.113.1:80', 'nobody'))[0],
    reached: [before, await get(lone, lent.url()), await get(stranger, lent.url())],
  })
`

describe.skipIf(why !== undefined)('an ordinary user gets out', () => {
  let user: User
  beforeAll(() => { user = makeUser({ ranges: true, tun: true, id: USER }) })
  afterAll(() => { user.remove() })

  async function outcome(script: string, env: Readonly<Record<string, string>>): Promise<unknown> {
    const registry = await startRegistry()
    try {
      const own = { MAYFLY_REGISTRY_MIRROR: registry.mirror, ...env }
      const program = [process.execPath, '--input-type=module', '-e']
      // The registry is on a loopback that the network of the test has not: the images come first.
      for (const image of ['busybox', 'debian']) await user.run([process.execPath, 'packages/cli/dist/main.js', 'pull', image], own)
      const { output } = await user.run([...program, script], own, internet(0))
      const line = output.split('\n').find((one) => one.startsWith('RESULT '))
      if (line === undefined) throw new Error(output)
      return JSON.parse(line.slice('RESULT '.length))
    } finally {
      await registry.close()
    }
  }

  test.each(['pasta', 'slirp4netns'] as const)('by %s', { timeout: 120_000 }, async (way) => {
    if (!existsSync(`/usr/bin/${way}`)) return void process.stderr.write(`not tested: ${way} is not installed\n`)
    expect(await outcome(relayed, { MAYFLY_OUTBOUND: way })).toEqual({
      outbound: { way }, lone: '203.0.113.2', inside: '203.0.113.2', shut: '', datagram: 'there and back', loopback: ['', '', ''], env: false,
    })
    await expect.poll(() => processesOf(USER), { timeout: 5000, interval: 20 }).toEqual([])
  })

  test('not by a word that is none', async () => {
    const script = 'import { endRun, info } from "@mayfly/core/engine"; console.log(await info().catch(({ code, message }) => code + " " + message)); await endRun()'
    const { output } = await user.run([process.execPath, '--input-type=module', '-e', script], { MAYFLY_OUTBOUND: 'tor' })
    expect(output).toBe('ERR_MAYFLY_OPTION_INVALID Invalid MAYFLY_OUTBOUND="tor": it is one of pasta, slirp4netns, proxy, off\n')
  })

  test('by a proxy, where there is nothing better', { timeout: 120_000 }, async () => {
    const proxy = 'http://ID@host.mayfly.internal:N'
    const none = 'localhost,127.0.0.1,::1,host.mayfly.internal,host.docker.internal,198.18.0.0/15'
    expect(await outcome(proxied, { MAYFLY_OUTBOUND: 'proxy' })).toEqual({
      outbound: { way: 'proxy', why: expect.any(String) as string, mend: expect.any(String) as string },
      lone: '203.0.113.2', env: { http_proxy: proxy, HTTP_PROXY: proxy, https_proxy: 'http://mine.test:N', no_proxy: none, NO_PROXY: none },
      shut: [false, ''], tunnel: ['HTTP/1.1 200 Connection Established', '203.0.113.2'], peer: ['HTTP/1.1 200 Connection Established', 'peer'], stranger: '', near: ['near\n', '', ''],
      refused: ['HTTP/1.1 403 Forbidden', 'HTTP/1.1 403 Forbidden', 'HTTP/1.1 502 Bad Gateway', 'HTTP/1.1 502 Bad Gateway', 'HTTP/1.1 403 Forbidden'],
      unknown: 'HTTP/1.1 407 Proxy Authentication Required', reached: ['', 'secret', ''],
    })
  })
})
