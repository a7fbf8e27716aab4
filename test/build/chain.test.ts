import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { baseContext } from '../images/index.mjs'
import { openPlace, type Place } from '../place.js'

const images = fileURLToPath(new URL('../images', import.meta.url))
let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(() => place.close())

async function mayfly(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.mayfly(words, { MAYFLY_REGISTRY_MIRROR: 'off' })
  expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
  return stdout
}

/** As the official images are made: each Dockerfile is the official one's, or the test image's, which keeps its contract. */
test('httpd on debian with backports on debian on nothing', async () => {
  const base = baseContext('bookworm')
  if (!existsSync(base)) return void process.stderr.write(`skipped: the root file system that the test images were made from is gone: ${base}\n`)
  await mayfly('build', '-q', '-t', 'debian:bookworm', '-f', join(images, 'debian/Dockerfile'), base)
  const backports = join(place.directory, 'backports')
  mkdirSync(backports)
  writeFileSync(join(backports, 'Dockerfile'), "FROM debian:bookworm\nRUN echo 'deb http://debian.example/debian bookworm-backports main' > /etc/apt/sources.list.d/backports.list\n")
  await mayfly('build', '-q', '-t', 'debian:bookworm-backports', backports)
  await mayfly('build', '-q', '-t', 'httpd', '--network', 'none', '--build-arg', 'BASE=debian:bookworm-backports', '--build-arg', 'DEBIAN_FRONTEND=noninteractive',
    '--build-context', `packages=${join(base, 'packages/httpd')}`, join(images, 'httpd'))

  expect(await mayfly('run', '--rm', 'httpd', 'cat', '/etc/apt/sources.list.d/backports.list')).toContain('bookworm-backports main')
  const history = await mayfly('history', '--no-trunc', '--format', '{{.CreatedBy}}', 'httpd')
  expect(history.split('\n').filter((line) => /ADD rootfs|backports.list|CMD/.test(line)).map((line) => line.slice(0, 8))).toEqual(['CMD ["ht', 'RUN echo', 'CMD ["ba', 'ADD root'])
  const id = (await mayfly('run', '-d', '--rm', '-p', '80', 'httpd')).trim()
  try {
    const address = (await mayfly('port', id, '80')).trim().split('\n')[0] ?? ''
    expect(await (await fetch(`http://${address}/`)).text()).toBe('<html><body><h1>It works!</h1></body></html>\n')
  } finally {
    await mayfly('stop', '-t', '0', id)
  }
})
