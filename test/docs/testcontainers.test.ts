// docs/coming-from-testcontainers.md: its code, options that no other test has together, and whether its rows have tests.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { network, run, wait } from '@mayfly/core'
import { endRun } from '@mayfly/core/engine'
import { afterAll, expect, test } from 'vitest'
import { useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)

const root = fileURLToPath(new URL('../..', import.meta.url))

test('its example', async () => {
  await using net = await network()
  await using cache = await run('redis', {
    network: net,
    aliases: ['cache'],
    ready: wait.log('Ready to accept connections'),
  })
  const url = cache.urlOf(6379, 'redis')
  expect(url).toMatch(/^redis:\/\/[\d.]+:\d+$/)
})

test('the options of a container', async () => {
  await using container = await run('busybox', {
    env: { GREETING: 'hello' }, entrypoint: ['sh', '-c'], command: ['echo "$GREETING $0 $(ulimit -n)"; sleep 1000', 'there'], name: 'moved', labels: { team: 'blue' },
    hostname: 'here', user: '1000:1000', workdir: '/tmp', shmSize: '8m', ulimits: { nofile: 100 }, capAdd: ['NET_ADMIN'], capDrop: ['CHOWN', 'MKNOD'],
    platform: process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64', pull: 'missing', ready: wait.log('hello there 100'),
  })
  const shell = async (script: string): Promise<string> => (await container.exec(['sh', '-c', script])).stdout.trim()
  expect([container.name, await shell('hostname; id -u; id -g; pwd; df -k /dev/shm | tail -n1 | tr -s " " | cut -d" " -f2')]).toEqual(['moved', 'here\n1000\n1000\n/tmp\n8192'])
  // Bit 0 is CHOWN, 12 NET_ADMIN, 27 MKNOD (capability.h).
  const bounding = BigInt(`0x${await shell('sed -n "s/CapBnd:\\t//p" /proc/self/status')}`)
  expect([0n, 12n, 27n].map((bit) => bounding >> bit & 1n)).toEqual([0n, 1n, 0n])
  await expect(run('busybox', { name: 'moved' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_NAME_IN_USE' })
  await expect(run('nobody-has-this:1', { pull: 'never' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_IMAGE_NOT_FOUND' })
})

test('every row names a test that is there', () => {
  const rows = readFileSync(join(root, 'docs/coming-from-testcontainers.md'), 'utf8').split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| testcontainers |')).map((line) => line.split('|').map((cell) => cell.trim()))
  expect(rows.length).toBeGreaterThan(50)
  const wrong = rows.filter((cells) => cells.length !== 5 || !isThere(cells[3] ?? '')).map((cells) => cells.join(' | '))
  expect(wrong).toEqual([])
})

/** `network/ports: one number …` is a test of that name in test/network/ports.test.ts; below `core/` in packages/core/test. */
function isThere(cell: string): boolean {
  const [, path = '', name = ''] = /^([\w/-]+): (.+)$/.exec(cell) ?? []
  const file = join(root, path.startsWith('core/') ? path.replace('core/', 'packages/core/test/') : `test/${path}`) + '.test.ts'
  if (!existsSync(file)) return false
  const names = [...readFileSync(file, 'utf8').matchAll(/\b(?:test|it)\b.*?\((['"`])((?:\\.|(?!\1).)*)\1/g)].map(([, , text]) => text?.replace(/\\(.)/g, '$1'))
  return names.includes(name)
}
