import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startRegistry } from '../images/registry.mjs'
import { openPlace, program, rootful, type Place } from '../place.js'
import { until } from '../runtime/bench.js'

let place: Place
let registry: Awaited<ReturnType<typeof startRegistry>>

beforeAll(async () => {
  place = await openPlace()
  const storage = join(place.directory, 'storage')
  mkdirSync(storage)
  registry = await startRegistry({ storage })
  await mayfly('pull', '-q', 'busybox')
})
afterAll(async () => {
  await registry.close()
  await place.close()
})

async function mayfly(...words: string[]): Promise<string> {
  return await elsewhere({}, ...words)
}

/** With another store. */
async function elsewhere(env: NodeJS.ProcessEnv, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.mayfly(words, env)
  expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
  return stdout.trim()
}

const home = (): string => join(place.directory, 'home')

/** The store's blobs of layers made here: what is compressed, and no document. */
function compressed(store = home()): Readonly<Record<string, number>> {
  const directory = join(store, 'blobs/sha256')
  const files = readdirSync(directory).filter((name) => readFileSync(join(directory, name)).subarray(0, 10).equals(OURS))
  return Object.fromEntries(files.sort().map((name) => [name, statSync(join(directory, name)).ino]))
}

const OURS = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255])

let last = 0

/** Builds an image for the registry, under a name of its own. */
async function built(dockerfile: string, files: Readonly<Record<string, string | Buffer>> = {}, ...flags: string[]): Promise<{ readonly name: string; readonly id: string; again(): Promise<string> }> {
  last += 1
  const name = `${registry.host}/made/image-${String(last)}:1`
  const context = join(place.directory, `context-${String(last)}`)
  mkdirSync(context)
  for (const [path, text] of Object.entries({ Dockerfile: dockerfile, ...files })) writeFileSync(join(context, path), text)
  const again = async (): Promise<string> => await mayfly('build', '-q', '-t', name, ...flags, context)
  return { name, id: await again(), again }
}

const idOf = async (name: string): Promise<string> => await mayfly('inspect', '-f', '{{.Id}}', name)
const digestOf = async (name: string): Promise<string> => await mayfly('inspect', '-f', '{{index .RepoDigests 0}}', name)
const pushed = async (name: string): Promise<string> => /digest: (\S+)/.exec(await mayfly('push', name))?.[1] ?? ''

test('a build compresses nothing, a push each layer once; another store has the same image', async () => {
  const { name, id, again } = await built('FROM busybox\nRUN mkdir /d && echo one > /d/one && rm /bin/vi\nCOPY file /d/\nRUN rm -r /d && mkdir /d && echo two > /d/two\nCMD cat /d/*', { file: 'a file\n' })
  const before = compressed()
  const first = await mayfly('push', name)
  expect(first.match(/: Pushed$/gm)).toHaveLength(5)
  const made = compressed()
  expect(Object.keys(made)).toHaveLength(Object.keys(before).length + 3)
  // Its id stays, and what is said of it is what the registry has.
  expect(await idOf(name)).toBe(id)
  const digest = /digest: (\S+)/.exec(first)?.[1] ?? ''
  expect(await digestOf(name)).toBe(`${name.replace(/:1$/, '')}@${digest}`)
  expect(await mayfly('images', '--digests', '--format', '{{.Digest}}', name)).toBe(digest)
  const second = await mayfly('push', name)
  expect(second).toContain(digest)
  expect(second).not.toMatch(/Pushed|Mounted/)
  // A build that finds all of it in the cache means the same image, and so does a save.
  expect(await again()).toBe(id)
  expect(await pushed(name)).toBe(digest)
  await mayfly('save', '-o', join(place.directory, 'saved.tar'), name)
  expect(compressed()).toEqual(made)
  const env = { MAYFLY_HOME: join(place.directory, 'other') }
  expect(await elsewhere(env, 'run', '--rm', name)).toBe('two')
  expect(await elsewhere(env, 'inspect', '-f', '{{.Id}}', name)).toBe(id)
  expect(await elsewhere(env, 'store', 'verify')).not.toMatch(/problem/i)
})

test('saved first: the archive and the registry have the same bytes, made once', async () => {
  const { name, id } = await built('FROM busybox\nCOPY file /\nRUN cat /file /file > /twice\nCMD cat /twice', { file: 'a\n'.repeat(10_000) })
  const file = join(place.directory, 'first.tar')
  await mayfly('save', '-o', file, name)
  const made = compressed()
  const digest = await pushed(name)
  expect(compressed()).toEqual(made)
  const env = { MAYFLY_HOME: join(place.directory, 'loaded') }
  await elsewhere(env, 'load', '-q', '-i', file)
  expect(await elsewhere(env, 'inspect', '-f', '{{.Id}} {{index .RepoDigests 0}}', name)).toBe(`${id} ${name.replace(/:1$/, '')}@${digest}`)
})

test('a file of the same size and time takes the place of another, in every store', async () => {
  const { name } = await built('FROM busybox\nCOPY <<a /v\none\na\nCOPY <<b /v\ntwo\nb\nCMD cat /v')
  expect(await mayfly('run', '--rm', name)).toBe('two')
  await pushed(name)
  expect(await elsewhere({ MAYFLY_HOME: join(place.directory, 'same') }, 'run', '--rm', name)).toBe('two')
})

test('with SOURCE_DATE_EPOCH no time in it is later, and layers are found whole', async () => {
  const { name } = await built('FROM busybox\nRUN echo x > /x\nCOPY file /file', { file: 'f' }, '--build-arg', 'SOURCE_DATE_EPOCH=1000000000')
  await pushed(name)
  expect(await elsewhere({ MAYFLY_HOME: join(place.directory, 'epoch') }, 'run', '--rm', name, 'stat', '-c', '%Y', '/x')).toBe('1000000000')
  expect(await mayfly('store', 'verify')).not.toMatch(/problem/i)
})

test('what takes how much, and what may go', async () => {
  // Another store, in which nothing else takes anything.
  const own = join(place.directory, 'figures')
  const env = { MAYFLY_HOME: own }
  const context = join(place.directory, 'figures-context')
  mkdirSync(context)
  writeFileSync(join(context, 'Dockerfile'), 'FROM busybox\nCOPY large /large')
  writeFileSync(join(context, 'large'), Buffer.alloc(3_000_000, 'text '))
  const name = `${registry.host}/made/figures:1`
  await elsewhere(env, 'build', '-q', '-t', name, context)
  const size = async (): Promise<number> => Number(await elsewhere(env, 'inspect', '-f', '{{.Size}}', name))
  const whole = await size()
  // The base may have come from here, too.
  const before = Object.keys(compressed(own)).length
  expect(await elsewhere(env, 'history', '--human=false', '--format', '{{.Size}}', name)).toMatch(/^3000000\n/)
  await elsewhere(env, 'push', '-q', name)
  expect(Object.keys(compressed(own))).toHaveLength(before + 1)
  expect(await size()).toBe(whole)
  // The manifest that the push took the place of, and nothing else.
  expect(await elsewhere(env, 'system', 'prune', '-f')).toMatch(/reclaimed space: (?:[0-9.]+kB|0B)$/m)
  expect(Object.keys(compressed(own))).toHaveLength(before + 1)
  expect(await elsewhere(env, 'run', '--rm', name, 'wc', '-c', '/large')).toContain('3000000')
  const running = await elsewhere(env, 'run', '-d', '--rm', name, 'sleep', '1000')
  await elsewhere(env, 'image', 'prune', '-a', '-f')
  expect(await elsewhere(env, 'images', '-q', name)).not.toBe('')
  await elsewhere(env, 'stop', '-t', '0', running)
  await elsewhere(env, 'rmi', name)
  // As soon as the run of that container is over, which waits a moment for whoever asks again at once.
  await expect.poll(async () => {
    await elsewhere(env, 'system', 'prune', '-f')
    return compressed(own)
  }, { timeout: 20_000, interval: 1000 }).toEqual({})
})

test('a container of an image that is pushed meanwhile is one of that image', async () => {
  const { name, id } = await built('FROM busybox\nRUN echo pushed meanwhile > /x')
  const running = await mayfly('run', '-d', name, 'sleep', '1000')
  await pushed(name)
  expect(await mayfly('inspect', '-f', '{{.Image}}', running)).toBe(id)
  expect((await place.mayfly(['rmi', name])).stderr).toContain('made from it')
  await mayfly('image', 'prune', '-a', '-f')
  expect(await idOf(name)).toBe(id)
  const committed = `${registry.host}/made/of-pushed:1`
  await mayfly('commit', running, committed)
  await mayfly('rm', '-f', running)
  await pushed(committed)
  expect(await elsewhere({ MAYFLY_HOME: join(place.directory, 'of-pushed') }, 'run', '--rm', committed, 'cat', '/x')).toBe('pushed meanwhile')
})

test('an image whose layers were made here comes with its bytes when it is pulled, and goes on as it came', async () => {
  const { name, again } = await built('FROM busybox\nRUN echo elsewhere > /x')
  // Another's compression of the same layer: what a registry has need not be ours.
  const digest = await pushed(name)
  await mayfly('rmi', '-f', name)
  await again()
  for (const file of Object.keys(compressed())) rmSync(join(home(), 'blobs/sha256', file))
  await mayfly('pull', '-q', name)
  const other = `${registry.host}/made/onwards:1`
  await mayfly('tag', name, other)
  expect(await pushed(other)).toBe(digest)
})

test('a layer that is altered on the disk is found, and goes to nobody', async () => {
  const { name } = await built('FROM busybox\nRUN echo right > /altered')
  const layers = join(home(), readdirSync(home()).find((one) => one.startsWith('layers')) ?? '')
  const tree = readdirSync(layers).find((one) => existsSync(join(layers, one, 'tree/altered'))) ?? ''
  appendFileSync(join(layers, tree, 'tree/altered'), 'wrong')
  const refused = await place.mayfly(['push', name])
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('is damaged in the store')])
  const verified = await place.mayfly(['store', 'verify', '--repair'])
  expect(verified.stdout + verified.stderr).toContain('its files are not those it was made of')
  expect((await place.mayfly(['images', '-q', name])).stdout).toBe('')
})

test('a layer that was built reaches the disk without anybody waiting, and counts after a restart', async () => {
  await built('FROM busybox\nRUN echo kept > /kept')
  const layers = join(home(), readdirSync(home()).find((one) => one.startsWith('layers')) ?? '')
  const tree = readdirSync(layers).find((one) => existsSync(join(layers, one, 'tree/kept'))) ?? ''
  await until(() => !readFileSync(join(layers, tree, 'layer.json'), 'utf8').includes('bootId'))
})

test('a push that is killed while it compresses leaves a good store', async () => {
  const { name, id } = await built('FROM busybox\nRUN head -c 60000000 /dev/urandom > /large\nRUN echo small > /small')
  const before = compressed()
  const child = spawn(process.execPath, [program, 'push', '-q', name], { stdio: 'ignore', detached: true })
  const ended = new Promise((resolve) => { child.once('close', resolve) })
  const work = (): string[] => readdirSync(join(home(), 'ingest')).filter((one) => one.startsWith('gzip-') && existsSync(join(home(), 'ingest', one, 'blob')))
  await until(() => work().length > 0)
  process.kill(-(child.pid ?? 0), 'SIGKILL')
  await ended
  expect(await mayfly('run', '--rm', name, 'cat', '/small')).toBe('small')
  await mayfly('system', 'prune', '-f')
  expect(readdirSync(join(home(), 'ingest'))).toEqual([])
  expect(Object.keys(compressed()).length).toBeLessThanOrEqual(Object.keys(before).length + 1)
  expect(await mayfly('store', 'verify')).not.toMatch(/problem/i)
  await pushed(name)
  expect(await idOf(name)).toBe(id)
})

test('a disk that fills up while a push compresses is told, and the image stays as it was', async () => {
  if (!rootful) return void process.stderr.write('skipped: only root can mount a disk of a few megabytes\n')
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-test-'))
  const own = join(directory, 'home')
  mkdirSync(own)
  const name = `${registry.host}/made/full:1`
  writeFileSync(join(directory, 'Dockerfile'), 'FROM busybox\nRUN head -c 20000000 /dev/urandom > /large')
  const mayflyHere = `${process.execPath} ${program}`
  const script = `
    mount -t tmpfs -o size=32m,mode=700 tmpfs ${own}
    ${mayflyHere} build -q -t ${name} ${directory} > /dev/null || exit 3
    ${mayflyHere} push -q ${name} 2>&1; echo "code $?"
    find ${own}/ingest ${own}/trash -mindepth 1
    ${mayflyHere} run --rm ${name} wc -c /large`
  try {
    const said = execFileSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script], {
      encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, MAYFLY_HOME: own, XDG_RUNTIME_DIR: join(directory, 'run') },
    })
    expect(said).toMatch(/ERR_MAYFLY_STORE_FAILED[\s\S]*The disk is full\.[\s\S]*code 1\n20000000 \/large\n$/)
  } finally {
    rmSync(directory, { recursive: true })
  }
})
