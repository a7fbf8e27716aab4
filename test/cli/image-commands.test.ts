import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run, type Container } from '@mayfly/core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { fakeRegistry, tar, type FakeRegistry } from '../../packages/core/test/images/fixture.js'
import { startRegistry } from '../images/registry.mjs'
import { nothingLeft, openPlace, type Place, rootful } from '../place.js'

let place: Place
let registry: FakeRegistry
/** An image with three layers, and two tags. */
let app: string
let user: Container

beforeAll(async () => {
  place = await openPlace()
  registry = await fakeRegistry()
  app = `${registry.host}/app`
  const layers = ['a', 'b', 'c'].map((name) => tar([{ name, content: name.repeat(700_000) }]))
  const config = { created: new Date(Date.now() - 3 * 86_400_000).toISOString(), history: [
    { created_by: 'ADD a', created: '2020-01-02T03:04:05Z' }, { created_by: 'ENV x', empty_layer: true }, { created_by: 'ADD b' },
    { created_by: `RUN ${'x'.repeat(80)}`, comment: 'made by hand' },
  ] }
  for (const tag of ['7', '7.0']) registry.add('app', tag, layers, { document: config, config: { Labels: { tier: 'web' } } })
  for (const name of ['busybox', `${app}:7`, `${app}:7.0`]) expect(await place.mayfly(['pull', '-q', name])).toMatchObject({ code: 0 })
  user = await run('busybox', { command: ['sleep', '600'], name: 'user' })
})

afterAll(async () => {
  await registry.close()
  await place.close()
})

async function lines(...words: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await place.mayfly(words)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return stdout.trimEnd().split('\n')
}

async function idOf(name: string): Promise<string> {
  return (await lines('image', 'inspect', '-f', '{{.Id}}', name))[0] ?? ''
}

test('inspect --operations prints what would be carried out', async () => {
  const listed = await lines('inspect', '--operations', 'busybox')
  expect(listed).toEqual(expect.arrayContaining(['stage', 'mask "/proc/kcore"', 'argv ["sh"]']))
  expect(listed.at(-1)).toBe('exec')
  expect(listed.findIndex((line) => line.startsWith('seccomp '))).toBeLessThan(listed.findIndex((line) => line.startsWith('capabilities ')))
})

describe('images', () => {
  test('have Docker\'s columns', async () => {
    const [head = '', ...rows] = await lines('images')
    expect(head.split(/ {2,}/)).toEqual(['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE'])
    const cells = rows.map((row) => row.split(/ {2,}/))
    const common = [expect.stringMatching(/^[0-9a-f]{12}$/), expect.stringMatching(/ ago$/), expect.stringMatching(/^\d+(\.\d+)?MB$/)]
    expect(cells).toEqual(expect.arrayContaining([['busybox', 'latest', ...common], [app, '7', ...common], [app, '7.0', ...common]]))
    expect(cells).toHaveLength(3)
  })
  test('are given by id, name, digest, filter and template', async () => {
    const id = await idOf(`${app}:7`)
    expect(await lines('images', '-q', app)).toEqual([id.slice(7, 19)])
    expect(await lines('images', '-q', '--no-trunc', `${app}:7`)).toEqual([id])
    expect(await lines('image', 'ls', '--filter', 'reference=*/app:7*', '--format', '{{.Repository}}:{{.Tag}} {{.CreatedSince}} {{.Size}}')).toEqual([`${app}:7 3 days ago 2.1MB`, `${app}:7.0 3 days ago 2.1MB`])
    expect(await lines('images', '--filter', 'label=tier=web', '--filter', 'since=busybox', '--format', '{{.Tag}}')).toEqual(['7', '7.0'])
    expect(await lines('images', '--format', 'table {{.Repository}}\\t{{.ID}}', 'busybox')).toEqual(['REPOSITORY   IMAGE ID', expect.stringMatching(/^busybox {6}[0-9a-f]{12}$/)])
    expect(JSON.parse((await lines('images', '--format', 'json', 'busybox'))[0] ?? '')).toMatchObject({ Repository: 'busybox', Tag: 'latest', Digest: expect.stringMatching(/^sha256:/) as string })
    expect((await lines('images', '--digests', 'busybox')).join()).toMatch(/DIGEST .*sha256:[0-9a-f]{64}/)
    expect(await lines('images', '-q', '--filter', 'dangling=true')).toEqual([''])
    expect(await lines('images', '-q', '--filter', 'label=no.such')).toEqual([''])
  })
  test('a wrong filter or template says what there is', async () => {
    expect(await place.mayfly(['images', '--filter', 'size=3'])).toMatchObject({ code: 1, stderr: expect.stringContaining('Filters are dangling=') as string })
    expect(await place.mayfly(['images', '--format', '{{.Name}}'])).toMatchObject({ code: 1, stderr: expect.stringContaining('there is no field Name; there are ID') as string })
  })
})

describe('inspect and history', () => {
  test('tell what an image is', async () => {
    const [document] = JSON.parse((await lines('image', 'inspect', 'busybox')).join('\n')) as [Record<string, unknown>]
    expect(document).toMatchObject({
      Id: await idOf('busybox'), RepoTags: ['busybox:latest'], RepoDigests: [expect.stringMatching(/^busybox@sha256:/)], Os: 'linux',
      Config: { Cmd: ['sh'] }, RootFS: { Type: 'layers', Layers: [expect.stringMatching(/^sha256:/)] },
    })
    expect(await lines('inspect', '--type', 'image', '--format', '{{index .Config.Cmd 0}} {{len .RootFS.Layers}}', 'busybox')).toEqual(['sh 1'])
  })
  test('tell what a container is, and what is neither', async () => {
    expect(await lines('inspect', '-f', '{{.State.Status}} {{.Name}} {{.Config.Image}} {{.Image}}', 'user')).toEqual([`running /user busybox ${await idOf('busybox')}`])
    expect(await place.mayfly(['inspect', 'nobody'])).toEqual({ code: 1, stdout: '[]\n', stderr: 'mayfly: No such image: nobody (ERR_MAYFLY_IMAGE_NOT_FOUND)\nmayfly images lists them.\n' })
  })
  test('the steps of an image, the last first', async () => {
    const id = (await idOf(`${app}:7`)).slice(7, 19)
    expect((await lines('history', `${app}:7`)).map((line) => line.split(/ {2,}/))).toEqual([
      ['IMAGE', 'CREATED', 'CREATED BY', 'SIZE', 'COMMENT'],
      [id, 'N/A', `RUN ${'x'.repeat(40)}…`, '700kB', 'made by hand'],
      ['<missing>', 'N/A', 'ADD b', '700kB'],
      ['<missing>', 'N/A', 'ENV x', '0B'],
      ['<missing>', expect.stringMatching(/^\d years ago$/), 'ADD a', '700kB'],
    ])
    expect(await lines('history', '-q', '--no-trunc', 'busybox')).toContain(await idOf('busybox'))
    expect(await lines('history', '--no-human', '--format', '{{.Size}} {{.CreatedAt}}', `${app}:7`)).toEqual(['700000 ', '700000 ', '0 ', '700000 2020-01-02T03:04:05Z'])
  })
})

describe('rmi', () => {
  test('takes one of several names away, then the image', async () => {
    const id = await idOf(`${app}:7`)
    const [, digest = ''] = (await lines('image', 'inspect', '-f', '{{index .RepoDigests 0}}', id))[0]?.split('@') ?? []
    expect((await lines('rmi', id.slice(7, 17))).slice(0, 4)).toEqual([`Untagged: ${app}:7`, `Untagged: ${app}:7.0`, `Untagged: ${app}@${digest}`, `Deleted: ${id}`])
    for (const tag of ['7', '7.0']) expect(await place.mayfly(['pull', '-q', `${app}:${tag}`])).toMatchObject({ code: 0 })
    expect((await lines('rmi', `${app}:7.0`))).toEqual([`Untagged: ${app}:7.0`])
    expect(await lines('rmi', `${app}:7`)).toEqual([`Untagged: ${app}:7`, `Untagged: ${app}@${digest}`, `Deleted: ${id}`, ...Array.from({ length: 3 }, () => expect.stringMatching(/^Deleted: sha256:/) as string)])
    expect(await lines('images', '-q')).toEqual([(await idOf('busybox')).slice(7, 19)])
    expect(await lines('store', 'verify')).toEqual([expect.stringMatching(/^\d+ blobs, 1 layers, 1 names, 0 snapshots: all whole$/)])
  })
  test('what does not exist is an error, but not with -f', async () => {
    expect(await place.mayfly(['rmi', 'nothing'])).toEqual({ code: 1, stdout: '', stderr: 'mayfly: No such image: nothing (ERR_MAYFLY_IMAGE_NOT_FOUND)\nmayfly images lists them.\n' })
    expect(await place.mayfly(['rmi', '-f', 'nothing'])).toMatchObject({ code: 0 })
  })
  test('an image with a running container stays, also with -f', async () => {
    for (const words of [['rmi', 'busybox'], ['image', 'rm', '-f', 'busybox']]) {
      expect(await place.mayfly(words)).toMatchObject({
        code: 1, stderr: 'mayfly: The image busybox cannot be removed: the running container user is made from it (ERR_MAYFLY_IMAGE_IN_USE)\nStop it first: mayfly stop user\n',
      })
    }
    expect((await user.exec(['echo', 'well'])).stdout).toBe('well\n')
  })
})

test('prune leaves what a container is made from, and asks first', async () => {
  expect(await place.mayfly(['pull', '-q', `${app}:7`])).toMatchObject({ code: 0 })
  expect(await place.mayfly(['image', 'prune', '-a'])).toMatchObject({ code: 1, stdout: expect.stringContaining('[y/N]') as string })
  expect(await lines('image', 'prune', '-af', '--filter', 'until=10000h', '--filter', 'label=x')).toEqual(['Total reclaimed space: 0B'])
  expect(await lines('image', 'prune', '-f', '--keep-storage', '100g')).toEqual(['Total reclaimed space: 0B'])
  const pruned = await lines('prune', '-a', '-f', '--filter', 'reference=**')
  expect(pruned).toEqual(expect.arrayContaining([`untagged: ${app}:7`, expect.stringMatching(/^Total reclaimed space: 2\.\d+MB$/)]))
  expect(await lines('images', '--format', '{{.Repository}}')).toEqual(['busybox'])
})

test('system df counts what is on the disk', async () => {
  const rows = (await lines('system', 'df')).map((line) => line.split(/ {2,}/))
  expect(rows[0]).toEqual(['TYPE', 'TOTAL', 'ACTIVE', 'SIZE', 'RECLAIMABLE'])
  expect(rows[1]).toEqual(['Images', '1', '1', expect.stringMatching(/MB$/), '0B'])
  expect(rows[2]?.slice(0, 3)).toEqual(['Containers', '1', '1'])
  expect(rows[4]).toEqual(['Garbage', '0', '0', '0B', '0B'])
  expect((await lines('system', 'df', '-v')).join('\n')).toMatch(/REPOSITORY .*UNIQUE SIZE +CONTAINERS\nbusybox +latest .* 1\n/)
})

// A layer's files are its own ids', not the user's to spoil.
test.runIf(rootful)('store verify finds what was damaged, takes it away, and the next pull mends it', async () => {
  const home = process.env['MAYFLY_HOME'] ?? ''
  expect(await place.mayfly(['pull', '-q', `${app}:7`])).toMatchObject({ code: 0 })
  const [layer = ''] = await lines('image', 'inspect', '-f', '{{index .RootFS.Layers 2}}', `${app}:7`)
  const tree = join(home, 'layers', layer.slice(7), 'tree')
  writeFileSync(join(tree, 'intruder'), '')
  const [first = '', last] = (await place.mayfly(['store', 'verify'])).stdout.trimEnd().split('\n')
  expect(first).toBe(`damaged: layer ${layer}: /intruder does not belong there`)
  expect(last).toMatch(/1 problem; --repair takes away what is damaged$/)
  expect(await place.mayfly(['store', 'verify', '--repair'])).toMatchObject({ code: 0, stdout: expect.stringContaining('removed: layer') as string })
  const [blob = ''] = await lines('image', 'inspect', '-f', '{{.Descriptor.digest}}', `${app}:7`)
  writeFileSync(join(home, 'blobs/sha256', blob.slice(7)), '{}')
  expect(await place.mayfly(['store', 'verify'])).toMatchObject({ code: 1, stdout: expect.stringMatching(/damaged: blob sha256:\w+: its content has the digest .*\ndamaged: name 127\.0\.0\.1:\d+\/app:7: its manifest /) as string })
  expect(await place.mayfly(['store', 'verify', '--repair'])).toMatchObject({ code: 0 })
  expect(await place.mayfly(['pull', '-q', `${app}:7`])).toMatchObject({ code: 0 })
  expect(await place.mayfly(['store', 'verify'])).toMatchObject({ code: 0, stdout: expect.stringContaining('all whole') as string })
  expect(await lines('image', 'prune', '-f')).toEqual(['Total reclaimed space: 0B'])
  await user.stop({ timeout: 0 })
  await nothingLeft()
})

test('every tag of a repository is pulled, and flags of builds that mean nothing here are taken', async () => {
  const storage = join(place.directory, 'tagged')
  mkdirSync(storage)
  const served = await startRegistry({ storage })
  onTestFinished(() => served.close())
  const repository = `${served.host}/some/tagged`
  const tags = ['1.0', '1.1', 'latest']
  for (const tag of tags) {
    expect(await place.mayfly(['tag', 'busybox', `${repository}:${tag}`])).toMatchObject({ code: 0 })
    expect(await place.mayfly(['push', '-q', `${repository}:${tag}`])).toMatchObject({ code: 0 })
    expect(await place.mayfly(['rmi', `${repository}:${tag}`])).toMatchObject({ code: 0 })
  }
  expect(await place.mayfly(['pull', '-q', '-a', repository])).toEqual({ code: 0, stderr: '', stdout: tags.map((tag) => `${repository}:${tag}\n`).join('') })
  expect(await place.mayfly(['pull', '--all-tags', `${repository}:1.0`])).toMatchObject({ code: 1, stderr: expect.stringContaining('contradict') as string })
  expect(await place.mayfly(['pull', '-a', `${served.host}/no/such`])).toMatchObject({ code: 1, stderr: expect.stringContaining('ERR_MAYFLY_') as string })
  writeFileSync(join(place.directory, 'Dockerfile'), 'FROM busybox\nLABEL a=b\n')
  expect(await place.mayfly(['build', '-q', '--rm', '--force-rm', '--compress', '--cache-from', 'busybox', '-f', join(place.directory, 'Dockerfile'), storage])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^sha256:/) as string })
})
