// Files into containers and out of them: in every state, with Docker's rules for paths. Run as root and as an ordinary user.
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync, linkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { extract, pack } from 'tar-stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { endRun, run, wait, type Container } from '../../packages/core/src/container/index.js'
import { openContainer } from '../../packages/core/src/container/remote.js'
import { useBench } from './bench.js'

useBench()
let directory = ''
let container: Container
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mayfly-copy-'))
  container = await run('busybox', { command: ['sleep', '1000'] })
}, 60_000)
afterAll(async () => {
  await endRun()
  rmSync(directory, { recursive: true, force: true })
})

const at = (...parts: string[]): string => join(directory, ...parts)
let made = 0
const fresh = (): string => `/at${++made}`

async function sh(script: string, inside: Container = container): Promise<string> {
  const { exitCode, stdout, stderr } = await inside.exec(['sh', '-c', script])
  expect([stderr, exitCode]).toEqual(['', 0])
  return stdout.trim()
}

/** A directory with all that can be copied. */
function site(name: string): string {
  const path = at(name)
  mkdirSync(join(path, 'deep/er'), { recursive: true })
  writeFileSync(join(path, 'index.html'), '<p>hello\n')
  writeFileSync(join(path, 'deep/run.sh'), '#!/bin/sh\n')
  chmodSync(join(path, 'deep/run.sh'), 0o750)
  chmodSync(join(path, 'deep/er'), 0o711)
  symlinkSync('deep/run.sh', join(path, 'link'))
  linkSync(join(path, 'index.html'), join(path, 'hard'))
  return path
}

test('a file goes under the target\'s name, into a directory that is there under its own, and into one that is missing', async () => {
  const [dir, file] = [fresh(), at('one.txt')]
  writeFileSync(file, 'one\n', { mode: 0o640 })
  chmodSync(file, 0o640)
  await container.copyIn(file, `${dir}/below/renamed`)
  await container.copyIn(file, dir)
  await container.copyIn(file, `${dir}/`)
  await container.copyIn(file, `${dir}/new/`)
  expect(await sh(`cd ${dir} && find . -type f | sort && cat below/renamed && stat -c '%a %u:%g' one.txt`)).toBe('./below/renamed\n./new/one.txt\n./one.txt\none\n640 0:0')
  await expect(container.copyIn(file, `${dir}/missing/x`, { parents: false })).rejects.toMatchObject({ code: 'ERR_MAYFLY_PATH_NOT_FOUND' })
  await expect(container.copyIn(file, `${dir}/one.txt/`)).rejects.toMatchObject({ code: 'ERR_MAYFLY_COPY_FAILED', details: { errno: 'ENOTDIR' } })
  await expect(container.copyIn(at('nothing'), dir)).rejects.toMatchObject({ code: 'ERR_MAYFLY_PATH_NOT_FOUND', message: `this machine has no ${at('nothing')}` })
  expect(await sh(`ls ${dir}`)).toBe('below\nnew\none.txt')
})

test('a directory goes into one that is there, becomes one that is not, and by /. gives what is in it', async () => {
  const [dir, source] = [fresh(), site('tree')]
  await container.copyIn(source, `${dir}/whole`)
  await container.copyIn(source, dir)
  await container.copyIn(`${source}/.`, `${dir}/contents`)
  await container.copyIn(`${source}/.`, dir)
  for (const path of ['whole', 'tree', 'contents', '.']) {
    expect(await sh(`cd ${dir}/${path} && stat -c '%n %F %a %u:%g %h' index.html deep/run.sh deep/er && readlink link && [ hard -ef index.html ] && cat hard`)).toBe(
      'index.html regular file 644 0:0 2\ndeep/run.sh regular file 750 0:0 1\ndeep/er directory 711 0:0 2\ndeep/run.sh\n<p>hello')
  }
  await expect(container.copyIn(source, `${dir}/whole/index.html`)).rejects.toMatchObject({ code: 'ERR_MAYFLY_COPY_FAILED', details: { errno: 'ENOTDIR' } })
  await sh(`mkdir -p ${dir}/clash/index.html/kept`)
  await expect(container.copyIn(`${source}/.`, `${dir}/clash`)).rejects.toThrow(/a file cannot take the place of a directory/)
  expect(await sh(`ls ${dir}/clash/index.html`)).toBe('kept')
})

test('directories that are there keep their modes and owners; files are replaced', async () => {
  const [dir, source] = [fresh(), at('private')]
  mkdirSync(source, { mode: 0o700 })
  writeFileSync(join(source, 'file'), 'new')
  await sh(`mkdir ${dir} && chown 70:71 ${dir} && chmod 2755 ${dir} && echo old > ${dir}/file && ln ${dir}/file ${dir}/other`)
  await container.copyIn(`${source}/.`, dir)
  expect(await sh(`stat -c '%a %u:%g' ${dir}; cat ${dir}/file ${dir}/other; ls -A ${dir}`)).toBe('2755 70:71\nnewold\nfile\nother')
})

test('content, with an owner by name and a mode', async () => {
  const dir = fresh()
  await container.copyIn({ content: 'text' }, `${dir}/text`)
  await container.copyIn({ content: Buffer.from([0, 255]) }, `${dir}/bytes`, { mode: 0o400, user: '70:71' })
  await container.copyIn({ content: Readable.from(['streamed ', 'text']) }, `${dir}/stream`, { user: 'root:root' })
  expect(await sh(`cd ${dir} && stat -c '%n %a %u:%g' text bytes stream && cat text stream && od -An -tx1 bytes`)).toBe('text 644 0:0\nbytes 400 70:71\nstream 644 0:0\ntextstreamed text 00 ff')
  await container.copyIn(site('owned'), dir, { user: '70', mode: 0o640 })
  expect(await sh(`cd ${dir}/owned && stat -c '%n %a %u:%g' . index.html deep deep/run.sh`)).toBe('. 750 70:0\nindex.html 640 70:0\ndeep 750 70:0\ndeep/run.sh 640 70:0')
})

test('a tar keeps its owners, is unpacked through the links of the container, and never above it', async () => {
  const dir = fresh()
  await sh(`mkdir -p ${dir}/real && ln -s real ${dir}/link && ln -s ../../../..${dir}/real ${dir}/far && ln -s /outside ${dir}/absolute`)
  const tar = pack()
  for (const place of ['link', 'far', 'absolute']) tar.entry({ name: `${place}/${place}.txt`, uid: 70, gid: 71, mode: 0o600 }, place)
  tar.entry({ name: `/rooted`, uid: 70, gid: 71, mode: 0o4755 }, 'r')
  tar.entry({ name: 'pipe', type: 'fifo', mode: 0o622 })
  tar.finalize()
  await sh('mkdir /outside')
  await container.copyIn({ tar }, dir)
  expect(await sh(`cd ${dir} && ls real /outside && stat -c '%a %u:%g' real/link.txt rooted && stat -c %F pipe`)).toBe('/outside:\nabsolute.txt\n\nreal:\nfar.txt\nlink.txt\n600 70:71\n4755 70:71\nfifo')
  const climbing = pack()
  climbing.entry({ name: 'a/../../up' }, 'x')
  climbing.finalize()
  await expect(container.copyIn({ tar: climbing }, dir)).rejects.toMatchObject({ code: 'ERR_MAYFLY_COPY_FAILED', message: expect.stringContaining('a name with ..') as string })
  await expect(container.copyIn({ tar: Buffer.from('this is no archive') }, dir)).rejects.toThrow(/cut off/)
  await expect(container.copyIn({ tar: Buffer.alloc(0) }, dir)).rejects.toThrow(/cut off/)
})

test('out of it, by the same rules; what comes out is the caller\'s and runs with nobody else\'s rights', async () => {
  const [dir, out] = [fresh(), at('out')]
  await sh(`mkdir -p ${dir}/d/e && echo text > ${dir}/d/file && ln -s file ${dir}/d/link && ln ${dir}/d/file ${dir}/d/hard && chown 70:71 ${dir}/d/file && chmod 6755 ${dir}/d/file && chmod 700 ${dir}/d/e && ln -s d ${dir}/to && mkfifo ${dir}/d/pipe`)
  await container.copyOut(`${dir}/d`, out)
  expect(readdirSync(out).sort()).toEqual(['e', 'file', 'hard', 'link', 'pipe'])
  const file = statSync(join(out, 'file'))
  expect([file.mode & 0o7777, file.uid, file.nlink]).toEqual([0o755, process.geteuid?.(), 2])
  expect(readlinkSync(join(out, 'link'))).toBe('file')
  await container.copyOut(`${dir}/d/file`, `${out}/`)
  await container.copyOut(`${dir}/to`, at('as-link'))
  expect(lstatSync(at('as-link')).isSymbolicLink()).toBe(true)
  await container.copyOut(`${dir}/to`, at('followed'), { follow: true })
  expect(readFileSync(at('followed/file'), 'utf8')).toBe('text\n')
  await container.copyOut(`${dir}/to/.`, at('made/deep'))
  expect(readFileSync(at('made/deep/hard'), 'utf8')).toBe('text\n')
  await expect(container.copyOut(`${dir}/none`, out)).rejects.toMatchObject({ code: 'ERR_MAYFLY_PATH_NOT_FOUND', message: `${container.name} has no ${dir}/none` })
  await expect(container.copyOut(`${dir}/d/file/`, out)).rejects.toMatchObject({ code: 'ERR_MAYFLY_COPY_FAILED' })
  await expect(container.copyOut(`${dir}/d`, at('followed/file'))).rejects.toThrow(/a directory cannot take the place of a file/)
  await expect(container.copyOut('relative', out)).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})

test('as a tar, under its name', async () => {
  const dir = fresh()
  await sh(`mkdir -p ${dir}/d && printf '%0300d' 0 > ${dir}/d/file && touch -d @86400 ${dir}/d/file && chown 70:71 ${dir}/d/file`)
  const entries: unknown[] = []
  const reader = extract()
  ;(await container.archive(`${dir}/d`)).pipe(reader)
  for await (const entry of reader) {
    const { name, type, uid, gid, size, mtime } = entry.header
    entries.push([name, type, uid, gid, size, Number(mtime) === 86_400_000])
    entry.resume()
  }
  expect(entries).toEqual([['d/', 'directory', 0, 0, 0, false], ['d/file', 'file', 70, 71, 300, true]])
  await container.copyIn({ tar: await container.archive(`${dir}/d`) }, `${dir}/again`)
  expect(await sh(`stat -c '%u:%g' ${dir}/again/d/file`)).toBe('70:71')
})

// An ordinary user's containers have limits and a freezer where cgroups are handed to him.
test.runIf(process.geteuid?.() === 0)('into one that is paused', async () => {
  await using paused = await run('busybox', { command: ['sleep', '1000'] })
  await paused.pause()
  await paused.copyIn({ content: 'cold' }, '/etc/cold')
  await paused.unpause()
  expect(await sh('cat /etc/cold', paused)).toBe('cold')
})

test('out of one that has ended, from disk, from memory and from a tmpfs', async () => {
  for (const scratch of ['memory', 'disk'] as const) {
    await using ended = await run('busybox', { command: ['sh', '-c', 'echo made > /made; echo vol > /v/vol; echo tmp > /t/tmp'], scratch, tmpfs: ['/t'], mounts: [{ target: '/v' }], ready: wait.exit(0) })
    await ended.copyOut('/made', at(`${scratch}-made`))
    await ended.copyOut('/v', at(`${scratch}-v`))
    await ended.copyOut('/t/tmp', at(`${scratch}-tmp`))
    await ended.copyIn({ content: 'late' }, '/late')
    await ended.copyOut('/late', at(`${scratch}-late`))
    expect(['made', 'v/vol', 'tmp', 'late'].map((name) => readFileSync(at(`${scratch}-${name}`), 'utf8'))).toEqual(['made\n', 'vol\n', 'tmp\n', 'late'])
  }
})

test('from another process, as the command line does', async () => {
  const dir = fresh()
  await using other = await openContainer(container.id)
  await other.copyIn({ content: 'x' }, `${dir}/x`, { user: 'root' })
  await other.copyOut(`${dir}/x`, at('x-out'))
  expect(readFileSync(at('x-out'), 'utf8')).toBe('x')
})

test('a volume is written to, a file that is bound over gets the content, and what is read-only is left', async () => {
  const host = at('bound')
  mkdirSync(host)
  writeFileSync(join(host, 'file'), 'old content')
  await using bound = await run('busybox', { command: ['sleep', '1000'], readonly: true, tmpfs: ['/tmp'], mounts: [{ source: join(host, 'file'), target: '/etc/bound' }, { source: host, target: '/ro', readonly: true }] })
  await bound.copyIn({ content: 'new' }, '/etc/bound')
  expect(readFileSync(join(host, 'file'), 'utf8')).toBe('new')
  await bound.copyIn({ content: 'new' }, '/tmp/x')
  for (const target of ['/ro/x', '/x']) await expect(bound.copyIn({ content: 'x' }, target)).rejects.toMatchObject({ code: 'ERR_MAYFLY_COPY_FAILED', details: { errno: 'EROFS' } })
  expect(readdirSync(host)).toEqual(['file'])
})

test('a disk that is full, and copies given up, leave no half of a file', async () => {
  await using small = await run('busybox', { command: ['sleep', '1000'], tmpfs: ['/data:size=1m'] })
  await expect(small.copyIn({ content: Buffer.alloc(4 << 20) }, '/data/large')).rejects.toMatchObject({ code: 'ERR_MAYFLY_DISK_FULL' })
  expect(await sh('ls -A /data', small)).toBe('')
  const tar = pack()
  const entry = tar.entry({ name: 'large', size: 1 << 20 })
  entry.write(Buffer.alloc(1000))
  const stop = new AbortController()
  const copying = container.copyIn({ tar: Readable.from(tar as AsyncIterable<Buffer>, { objectMode: false }) }, '/given-up', { signal: stop.signal })
  stop.abort('enough')
  await expect(copying).rejects.toMatchObject({ code: 'ERR_MAYFLY_ABORTED' })
  await expect(container.copyIn({ tar: new PassThrough() }, '/given-up', { timeout: 20 })).rejects.toMatchObject({ code: 'ERR_MAYFLY_TIMEOUT' })
  expect(await sh('ls -A /given-up 2>/dev/null || true')).toBe('')
})

test('a container that goes in the middle of a copy ends it with an error', async () => {
  const mortal = await run('busybox', { command: ['sleep', '1000'] })
  await sh('dd if=/dev/zero of=/large bs=1M count=16 2>/dev/null', mortal)
  const reading = await mortal.archive('/large')
  const failed = (async () => { for await (const _ of reading) await mortal[Symbol.asyncDispose]() })()
  const writing = mortal.copyIn({ tar: new PassThrough() }, '/x')
  await expect(writing).rejects.toMatchObject({ code: 'ERR_MAYFLY_NOT_RUNNING' })
  await expect(failed).rejects.toMatchObject({ code: 'ERR_MAYFLY_NOT_RUNNING' })
  await expect(mortal.copyIn({ content: '' }, '/x')).rejects.toMatchObject({ code: 'ERR_MAYFLY_CONTAINER_NOT_FOUND' })
  expect(existsSync(at('x'))).toBe(false)
})

test('options that are none say what is allowed', async () => {
  await expect(container.copyIn({ content: '' }, '/x', { mode: 0o10000 })).rejects.toThrow('Invalid mode 4096: a number from 0 to 0o7777')
  await expect(container.copyIn({ content: '' }, '/x', { user: 'nobody-here' })).rejects.toThrow(/the image has no user/)
  await expect(container.copyIn(directory, '/x', { user: 'root', archive: true })).rejects.toThrow(/contradict/)
  await expect(container.copyIn('', '/x')).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})
