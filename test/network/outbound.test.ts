// The way out, into an internet of our own: a second network namespace behind the first, and nothing of the real one.
import { existsSync } from 'node:fs'
import { afterAll, expect, test } from 'vitest'
import { endRun, run } from '../../packages/core/src/container/index.js'
import { execute } from '../place.js'
import { useBench } from '../runtime/bench.js'
import { internet } from './internet.js'

useBench()
afterAll(endRun)

const lacking = process.geteuid?.() !== 0 ? 'only root makes network namespaces as it likes'
  : ['/usr/sbin/ip', '/sbin/ip', '/bin/ip'].some((path) => existsSync(path)) ? undefined : 'iproute2 is not installed'
if (lacking !== undefined) process.stderr.write(`the way out is not tested: ${lacking}\n`)

/** Runs a script of ours on a machine whose only neighbour is 203.0.113.1, a web server that tells who asks. */
async function onItsOwn(script: string, forward: 0 | 1, env: NodeJS.ProcessEnv = {}): Promise<unknown> {
  const setting = ['set -e', 'node=$0', ...internet(forward), '"$0" --input-type=module -e "$1"'].join('\n')
  const { code, stdout, stderr } = await execute('unshare', ['--net', 'sh', '-c', setting, process.execPath, script], { ...process.env, ...env })
  if (code !== 0) throw new Error(`${stdout}\n${stderr}`)
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
}

const asking = `
  import { execFileSync } from 'node:child_process'
  import { network, run } from '@mayfly/core'
  const sleeper = { command: ['sleep', '1000'] }
  const get = async (container, url) => (await container.exec(['wget', '-q', '-T', '2', '-O', '-', url])).stdout
  const [open, internal, other, chosen] = await Promise.all([network(), network({ internal: true }), network(), network({ subnet: '172.28.0.0/16' })])
  const lone = await run('busybox', sleeper)
  const inside = await run('busybox', { ...sleeper, network: open })
  const within = await run('busybox', { ...sleeper, network: chosen, ip: '172.28.1.2' })
  const shut = await run('busybox', { ...sleeper, network: internal })
  const web = await run('busybox', { command: ['httpd', '-f', '-p', '80'], network: other, ports: [80] })
  const url = 'http://203.0.113.1/'
  const apart = [await get(lone, 'http://' + web.ip + '/'), (await inside.exec(['wget', '-T', '1', '-O', '-', 'http://' + web.ip + '/'])).stderr.includes('404')]
  const nft = () => { try { return execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }).trim() } catch { return undefined } }
  const result = { lone: await get(lone, url), inside: await get(inside, url), chosen: await get(within, url), shut: await get(shut, url), apart, table: nft() }
  await Promise.all([lone, inside, within, shut, web].map((one) => one.stop({ timeout: 0 })))
  console.log(JSON.stringify(result))
  process.exit(0)
`

test.skipIf(lacking !== undefined)('containers get out in the name of the host, but for those of internal networks', async () => {
  await using there = await run('busybox', { command: ['true'], ready: { description: 'nothing', acceptsExit: true, ready: () => Promise.resolve() } })
  expect(there.image).toBe('busybox')
  const found = await onItsOwn(asking, 1) as Record<string, unknown>
  expect(found).toMatchObject({ lone: '203.0.113.2', inside: '203.0.113.2', chosen: '203.0.113.2', shut: '', apart: ['', false] })
  if (existsSync('/usr/sbin/nft')) expect(found['table']).toMatch(/^table ip mayfly\d+$/)
})

test.skipIf(lacking !== undefined)('a host that passes nothing on keeps them in, and says how to change that', async () => {
  const script = `
    import { info } from '@mayfly/core/engine'
    console.log(JSON.stringify((await info()).outbound))
    process.exit(0)
  `
  expect(await onItsOwn(script, 0)).toEqual({ way: 'none', why: expect.stringContaining('ip_forward is 0') as string, mend: 'sysctl -w net.ipv4.ip_forward=1' })
  expect(await onItsOwn(script, 1)).toEqual({ way: 'host' })
  expect(await onItsOwn(script, 1, { MAYFLY_NATIVE_OFF: 'nftables' })).toMatchObject({ way: 'none', why: expect.stringContaining('nf_tables') as string })
})

