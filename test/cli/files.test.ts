import { chmodSync, existsSync, mkdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { gzipSync } from 'node:zlib'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPlace, type Place } from '../place.js'

let place: Place
let here: string
beforeAll(async () => {
  place = await openPlace()
  here = join(place.directory, 'here')
  mkdirSync(join(here, 'tree'), { recursive: true })
  writeFileSync(join(here, 'tree/file'), 'of the tree\n')
  chmodSync(join(here, 'tree/file'), 0o640)
  symlinkSync('tree/file', join(here, 'link'))
  expect(await place.mayfly(['run', '--name', 'ended', '-v', 'data:/data', 'busybox', 'sh', '-c', 'echo made > /made; echo inside > /data/f; rm /bin/vi'])).toMatchObject({ code: 0 })
  expect(await place.mayfly(['run', '-d', '--name', 'runs', 'busybox', 'sleep', '4000'])).toMatchObject({ code: 0 })
})
afterAll(async () => {
  await place.mayfly(['rm', '-f', 'runs', 'ended'])
  await place.close()
})

async function mayfly(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.mayfly(words)
  expect([words, code, stderr]).toEqual([words, 0, ''])
  return stdout.trim()
}

describe.each(['runs', 'ended'])('cp, of the container that %s', (name) => {
  test('into it and out of it: a file, a tree, what a link leads to', async () => {
    await mayfly('cp', join(here, 'tree'), `${name}:/tmp`)
    await mayfly('cp', '-q', join(here, 'tree/file'), `${name}:/tmp/renamed`)
    await mayfly('cp', '-L', join(here, 'link'), `${name}:/tmp/followed`)
    await mayfly('cp', join(here, 'link'), `${name}:/tmp/kept`)
    await mayfly('cp', '-a', `${name}:/tmp`, join(here, `out-${name}`))
    const out = join(here, `out-${name}`)
    expect(['tree/file', 'renamed', 'followed'].map((file) => readFileSync(join(out, file), 'utf8'))).toEqual(Array(3).fill('of the tree\n'))
    expect(statSync(join(out, 'renamed')).mode & 0o777).toBe(0o640)
    expect(readlinkSync(join(out, 'kept'))).toBe('tree/file')
    expect(await place.mayfly(['cp', `${name}:/nowhere`, here])).toMatchObject({ code: 1, stderr: expect.stringContaining('/nowhere') as string })
    expect(await place.mayfly(['cp', `${name}:/tmp/renamed`, join(here, 'no/such/place')])).toMatchObject({ code: 1 })
    expect(existsSync(join(here, 'no'))).toBe(false)
  })

  test('as a tar, through pipes', async () => {
    const { stdout: tar, status } = place.piped(['cp', `${name}:/tmp/tree`, '-'])
    expect(status).toBe(0)
    expect(place.piped(['cp', '-', `${name}:/home`], tar)).toMatchObject({ status: 0 })
    await mayfly('cp', `${name}:/home/tree/file`, join(here, `again-${name}`))
    expect(readFileSync(join(here, `again-${name}`), 'utf8')).toBe('of the tree\n')
  })
})

test('cp says which sides there are', async () => {
  expect(await place.mayfly(['cp', 'runs:/a', 'ended:/b'])).toMatchObject({ code: 1, stderr: expect.stringContaining('between containers') as string })
  expect(await place.mayfly(['cp', './a', './b'])).toMatchObject({ code: 1, stderr: expect.stringContaining('CONTAINER:PATH') as string })
})

test('a container that ended has its volumes beside its files, and goes on with what came in', async () => {
  await mayfly('cp', 'ended:/data/f', join(here, 'f'))
  expect(readFileSync(join(here, 'f'), 'utf8')).toBe('inside\n')
  writeFileSync(join(here, 'vi'), '#!/bin/sh\n')
  await mayfly('cp', join(here, 'vi'), 'ended:/bin/vi')
  expect((await mayfly('diff', 'ended')).split('\n')).toContain('C /bin/vi')
  expect(await mayfly('start', '-a', 'ended')).toBe('')
})

test('export is all of it, and import makes an image of that', async () => {
  await mayfly('export', '-o', join(here, 'all.tar'), 'ended')
  const id = await mayfly('import', '-m', 'by hand', '-c', 'CMD ["cat", "/made"]', '--change', 'ENV A=1', join(here, 'all.tar'), 'flat:1')
  expect(id).toMatch(/^sha256:[0-9a-f]{64}$/)
  expect(await mayfly('run', '--rm', 'flat:1')).toBe('made')
  expect(await mayfly('history', '--format', '{{.Comment}}', 'flat:1')).toBe('by hand')
  const { stdout } = place.piped(['export', 'runs'])
  expect(place.piped(['import', '-', 'piped:1'], gzipSync(stdout))).toMatchObject({ status: 0 })
  expect(await mayfly('run', '--rm', 'piped:1', 'cat', '/tmp/tree/file')).toBe('of the tree')
  expect(await place.mayfly(['import', join(here, 'none.tar')])).toMatchObject({ code: 1, stderr: expect.stringContaining('none.tar') as string })
  expect(place.piped(['import', '-', 'bad:1'], Buffer.from('no tar at all'))).toMatchObject({ status: 1 })
})

test('import takes an address, and says what it cannot read', async () => {
  const tar = readFileSync(join(here, 'all.tar'))
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/all.tar' ? 200 : 404).end(request.url === '/all.tar' ? tar : undefined)
  })
  const port = await new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => { resolve((server.address() as { port: number }).port) }))
  try {
    await mayfly('import', '--platform', process.arch === 'x64' ? 'linux/amd64' : `linux/${process.arch}`, `http://127.0.0.1:${port}/all.tar`, 'far:1')
    expect(await mayfly('run', '--rm', 'far:1', 'cat', '/made')).toBe('made')
    expect(await place.mayfly(['import', `http://127.0.0.1:${port}/other`])).toMatchObject({ code: 1, stderr: expect.stringContaining('404') as string })
  } finally {
    server.close()
  }
  expect(place.piped(['import', '-'], Buffer.from('BZh91AY&SY-something')).stderr.toString()).toContain('bzip2')
})
