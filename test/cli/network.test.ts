import { afterAll, beforeAll, expect, test } from 'vitest'
import { nothingLeft, openPlace, type Place } from '../place.js'

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(async () => {
  await place.close()
})

async function mayfly(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.mayfly(words)
  expect([words, code, stderr]).toEqual([words, 0, ''])
  return stdout.trim()
}

test('a named network lives in the background run, and with it the containers on it', async () => {
  const id = await mayfly('network', 'create', '--label', 'a=b', 'front')
  expect(id).toMatch(/^[0-9a-f]{64}$/)
  expect(await mayfly('network', 'create', '--internal', 'back')).not.toBe(id)
  expect(await place.mayfly(['network', 'create', 'front'])).toMatchObject({ code: 1, stderr: expect.stringContaining('There is a network named front already') as string })
  expect((await mayfly('network', 'ls')).split('\n')[0]).toMatch(/^NETWORK ID +NAME +DRIVER +SCOPE$/)
  expect((await mayfly('network', 'ls', '--format', '{{.Name}} {{.Internal}} {{.Labels}}')).split('\n').sort()).toEqual(['back true', 'front false a=b'])

  const web = await mayfly('run', '-d', '--name', 'web', '--network', 'front', '--network-alias', 'www', '--add-host', 'me:host-gateway', 'busybox', 'sh', '-c', 'echo hello > /x; httpd -f -p 80 -h /')
  await expect.poll(async () => (await place.mayfly(['run', '--rm', '--network', 'front', 'busybox', 'wget', '-q', '-O', '-', 'http://www/x'])).stdout).toBe('hello\n')
  expect(await place.mayfly(['run', '--rm', '--network', 'back', 'busybox', 'wget', '-q', '-O', '-', 'http://www/x'])).toMatchObject({ code: 1 })
  const [shown] = JSON.parse(await mayfly('network', 'inspect', 'front')) as [{ Id: string; Containers: Record<string, { Name: string }>; IPAM: { Config: { Subnet: string }[] } }]
  expect(shown).toMatchObject({ Id: id, Containers: { [web]: { Name: 'web' } } })
  expect(shown.IPAM.Config[0]?.Subnet).toMatch(/^198\.1[89]\.\d+\.\d+\/27$/)

  await mayfly('network', 'connect', '--alias', 'late', 'back', 'web')
  expect(await mayfly('run', '--rm', '--network', 'back', 'busybox', 'wget', '-q', '-O', '-', 'http://late/x')).toBe('hello')
  expect(await place.mayfly(['network', 'rm', 'back'])).toMatchObject({ code: 1, stderr: expect.stringContaining('has containers: web') as string })
  await mayfly('network', 'disconnect', 'back', 'web')
  expect(await mayfly('network', 'rm', 'back')).toBe('back')
  expect(await place.mayfly(['network', 'rm', 'back'])).toMatchObject({ code: 1, stderr: expect.stringContaining('No such network: back') as string })
  expect(await place.mayfly(['run', '-d', '--network', 'none-such', 'busybox', 'true'])).toMatchObject({ code: 125, stderr: expect.stringContaining('mayfly network create none-such') as string })
  expect(await mayfly('network', 'prune', '-f')).toBe('')
  await mayfly('stop', '-t', '0', 'web')
  expect(await mayfly('network', 'prune', '-f')).toBe('Deleted Networks:\nfront')
  expect(await mayfly('network', 'ls', '-q')).toBe('')
  await nothingLeft()
})

test('a network with a subnet of one\'s own, and addresses in it', async () => {
  const refused = async (...words: string[]): Promise<string> => {
    const { code, stderr } = await place.mayfly(words)
    expect([words, code]).toEqual([words, words[0] === 'run' ? 125 : 1])
    return stderr.split('\n')[0] ?? ''
  }
  await mayfly('network', 'create', '--ipv4', '--subnet', '172.29.0.0/16', '--gateway', '172.29.0.254', '--ip-range', '172.29.5.0/24', 'mine')
  const [shown] = JSON.parse(await mayfly('network', 'inspect', 'mine')) as [{ IPAM: object }]
  expect(shown.IPAM).toEqual({ Driver: 'default', Config: [{ Subnet: '172.29.0.0/16', IPRange: '172.29.5.0/24', Gateway: '172.29.0.254' }] })
  await mayfly('run', '-d', '--name', 'fixed', '--network', 'mine', '--ip', '172.29.0.5', 'busybox', 'sleep', '1000')
  expect(await mayfly('inspect', '-f', '{{.NetworkSettings.Networks.mine.IPAddress}}', 'fixed')).toBe('172.29.0.5')
  expect(await mayfly('run', '--rm', '--network', 'name=mine,ip=172.29.0.6,alias=six', 'busybox', 'sh', '-c', 'hostname -i; nslookup six | tail -3')).toMatch(/^172\.29\.0\.6\n[^]*172\.29\.0\.6/)
  expect(await refused('run', '--rm', '--network', 'mine', '--ip', '172.29.0.5', 'busybox', 'true')).toContain('The address 172.29.0.5 is in use already')
  expect(await refused('run', '--rm', '--network', 'mine', '--ip', '10.0.0.1', 'busybox', 'true')).toContain('no container can have it in 172.29.0.0/16')
  expect(await refused('run', '--rm', '--network', 'name=mine,mtu=3', 'busybox', 'true')).toContain('there is no "mtu"')
  expect(await refused('network', 'create', '--subnet', '172.29.7.0/24', 'more')).toContain('overlaps with that of the network mine, 172.29.0.0/16')
  expect(await refused('network', 'create', '--gateway', '172.30.0.1', 'more')).toContain('gateway without subnet')
  await mayfly('network', 'create', 'plain')
  expect(await refused('network', 'connect', '--ip', '172.29.0.9', 'plain', 'fixed')).toContain('chosen only where its subnet was')
  // Kept over a stop and a start.
  await mayfly('restart', '-t', '0', 'fixed')
  expect(await mayfly('exec', 'fixed', 'hostname', '-i')).toBe('172.29.0.5')
  await mayfly('run', '-d', '--name', 'late', 'busybox', 'sleep', '1000')
  await mayfly('network', 'connect', '--ip', '172.29.0.7', 'mine', 'late')
  expect(await mayfly('exec', 'late', 'ip', '-4', '-o', 'addr')).toContain('172.29.0.7/16')
  await mayfly('rm', '-f', 'fixed', 'late')
  await mayfly('network', 'rm', 'mine', 'plain')
  await nothingLeft()
})

test('an attached container of a network passes its exit code on', async () => {
  await mayfly('network', 'create', 'net')
  expect(await place.mayfly(['run', '--rm', '--network', 'net', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 3'])).toEqual({ code: 3, stdout: 'out\n', stderr: 'err\n' })
  expect((await place.mayfly(['run', '--network', 'net', '--network', 'none', 'busybox', 'true'])).code).toBe(125)
  await mayfly('network', 'rm', 'net')
})

test('names, name servers and ports in Docker\'s words', async () => {
  expect(await mayfly('run', '--rm', '--add-host', 'a:192.0.2.1', '--add-host', 'six=[2001:db8::1]', '--dns', '192.0.2.53', '--dns-search', 'corp.test', '--dns-option', 'ndots:2', 'busybox', 'sh', '-c', 'grep -E "\ta$|six" /etc/hosts; cat /etc/resolv.conf'))
    .toBe('192.0.2.1\ta\n2001:db8::1\tsix\nnameserver 192.0.2.53\nsearch corp.test\noptions ndots:2')
  expect(await mayfly('run', '--rm', '--network', 'none', 'busybox', 'sh', '-c', 'ip -o link | wc -l')).toBe('1')
  await mayfly('run', '-d', '--name', 'ported', '-p', '127.0.0.1::80', '-p', '53/udp', 'busybox', 'sleep', '1000')
  expect(await mayfly('port', 'ported')).toMatch(/^80\/tcp -> 127\.0\.0\.1:\d+\n53\/udp -> 127\.0\.0\.1:\d+$/)
  expect(await mayfly('port', 'ported', '53/udp')).toMatch(/^127\.0\.0\.1:\d+$/)
  expect(await place.mayfly(['port', 'ported', '81'])).toMatchObject({ code: 1, stderr: expect.stringContaining("No public port '81/tcp'") as string })
  await mayfly('stop', '-t', '0', 'ported')
  await nothingLeft()
})
