import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { nothingLeft, openPlace, type Place } from '../place.js'

let place: Place
let archive: string

beforeAll(async () => {
  place = await openPlace()
  archive = join(place.directory, 'busybox.tar')
  expect(await place.mayfly(['pull', '-q', 'busybox'])).toMatchObject({ code: 0 })
  expect(await place.mayfly(['save', '-o', archive, 'busybox'])).toEqual({ code: 0, stdout: '', stderr: '' })
})

afterEach(nothingLeft)
afterAll(() => place.close())

test('save writes an OCI layout with Docker\'s list beside it, to a file or to standard output', () => {
  const names = execFileSync('tar', ['tf', archive], { encoding: 'utf8' }).trim().split('\n')
  expect(names.filter((name) => !name.startsWith('blobs/sha256/'))).toEqual(['blobs/', 'index.json', 'manifest.json', 'oci-layout', 'repositories'])
  const read = (name: string): unknown => JSON.parse(execFileSync('tar', ['xOf', archive, name], { encoding: 'utf8' }))
  expect(read('manifest.json')).toEqual([{ Config: expect.stringMatching(/^blobs\/sha256\/[0-9a-f]{64}$/) as string, RepoTags: ['busybox:latest'], Layers: [expect.stringMatching(/^blobs\/sha256\//)] }])
  expect(read('index.json')).toMatchObject({ manifests: [{ annotations: { 'io.containerd.image.name': 'docker.io/library/busybox:latest', 'org.opencontainers.image.ref.name': 'latest' } }] })
  expect(place.piped(['save', 'busybox']).stdout.equals(readFileSync(archive))).toBe(true)
})

test('load gives back what save wrote, from a file or standard input', async () => {
  expect(await place.mayfly(['rmi', 'busybox'])).toMatchObject({ code: 0 })
  expect(await place.mayfly(['load', '-i', archive])).toEqual({ code: 0, stdout: 'Loaded image: busybox:latest\n', stderr: '' })
  expect(place.piped(['load', '-q'], readFileSync(archive)).stdout.toString()).toBe('busybox:latest\n')
  expect(await place.mayfly(['run', '--rm', '--pull', 'never', 'busybox', 'echo', 'loaded'])).toEqual({ code: 0, stdout: 'loaded\n', stderr: '' })
})

test('an archive that is none, or is not there, is told, and a save that fails leaves no file', async () => {
  const broken = join(place.directory, 'broken.tar')
  writeFileSync(broken, readFileSync(archive).subarray(0, 5000))
  expect(await place.mayfly(['load', '-i', broken])).toMatchObject({ code: 1, stderr: expect.stringContaining('ERR_MAYFLY_ARCHIVE_INVALID') as string })
  expect(await place.mayfly(['load', '-i', join(place.directory, 'none')])).toMatchObject({ code: 1, stderr: expect.stringContaining('ENOENT') as string })
  const file = join(place.directory, 'nothing.tar')
  expect(await place.mayfly(['save', '-o', file, 'nothing'])).toMatchObject({ code: 1, stderr: expect.stringContaining('No such image: nothing') as string })
  expect(existsSync(file)).toBe(false)
})

const absent = ['skopeo', 'podman'].filter((program) => spawnSync(program, ['--version']).status !== 0)
if (absent.length > 0) process.stdout.write(`not tried against others' archives: ${absent.join(' and ')} not installed\n`)

describe.skipIf(absent.length > 0)('other tools', () => {
  const podman = (...words: string[]): string => execFileSync('podman', [
    '--root', join(place.directory, 'podman'), '--runroot', join(place.directory, 'podman-run'), '--storage-driver', 'vfs', ...words,
  ], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })

  test('skopeo reads both forms of it, and its layouts are read', async () => {
    const inspect = (from: string): unknown => JSON.parse(execFileSync('skopeo', ['inspect', '--config', from], { encoding: 'utf8' }))
    expect(inspect(`docker-archive:${archive}`)).toEqual(inspect(`oci-archive:${archive}`))
    const layout = join(place.directory, 'layout')
    execFileSync('skopeo', ['copy', '-q', `docker-archive:${archive}`, `oci:${layout}:example.org/from/skopeo:1`])
    expect(await place.mayfly(['load', '-i', layout])).toEqual({ code: 0, stdout: 'Loaded image: example.org/from/skopeo:1\n', stderr: '' })
    expect(await place.mayfly(['rmi', 'example.org/from/skopeo:1'])).toMatchObject({ code: 0 })
  })

  test.each(['docker-archive', 'oci-archive'])('podman loads it, and what it saves as %s is loaded', async (form) => {
    expect(podman('load', '-q', '-i', archive)).toContain('docker.io/library/busybox:latest')
    const file = join(place.directory, `${form}.tar`)
    podman('save', '-q', '--format', form, '-o', file, 'busybox')
    expect(await place.mayfly(['rmi', 'busybox'])).toMatchObject({ code: 0 })
    expect(await place.mayfly(['load', '-i', file])).toEqual({ code: 0, stdout: 'Loaded image: busybox:latest\n', stderr: '' })
    expect(await place.mayfly(['run', '--rm', '--pull', 'never', 'busybox', 'cat', '/etc/hostname'])).toMatchObject({ code: 0 })
    expect(await place.mayfly(['store', 'verify'])).toMatchObject({ code: 0 })
  })
})
