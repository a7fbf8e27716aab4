// Attacks on copies, and on mounts whose destination is exchanged while they are made.
import { execFileSync } from 'node:child_process'
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pack } from 'tar-stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run, volume } from '../../packages/core/src/container/index.js'
import { openPlace, sh, sleeper, type Place } from './place.js'

/** A place of the host that every attack aims at, and that must stay as it is. */
const target = mkdtempSync(join(tmpdir(), 'mf-target-'))
const secret = join(target, 'secret')
const up = '../'.repeat(12)
const REFUSED = expect.objectContaining({ code: expect.stringMatching(/^ERR_MAYFLY_(COPY_FAILED|PATH_NOT_FOUND)$/) as string }) as unknown
let place: Place
let out = ''
beforeAll(async () => {
  writeFileSync(secret, 'untouched')
  place = await openPlace()
  out = mkdtempSync(join(tmpdir(), 'mf-out-'))
})
afterAll(async () => {
  await place.close()
  rmSync(out, { recursive: true })
  expect(readdirSync(target)).toEqual(['secret'])
  expect(readFileSync(secret, 'utf8')).toBe('untouched')
  expect(lstatSync(secret).nlink).toBe(1)
  rmSync(target, { recursive: true })
})

/** Exchanges two names for as long as it lives, as fast as it can. */
function racer(): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'mf-racer-'))
  try {
    writeFileSync(join(directory, 'racer.c'), `
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <sys/syscall.h>
      #include <unistd.h>
      int main(int n, char **v) { for (;;) syscall(SYS_renameat2, AT_FDCWD, v[1], AT_FDCWD, v[2], 2); return n; }
    `)
    execFileSync(process.env['CC'] ?? 'cc', ['-O2', '-static', '-o', join(directory, 'racer'), join(directory, 'racer.c')])
    return readFileSync(join(directory, 'racer'))
  } finally {
    rmSync(directory, { recursive: true })
  }
}

test('11. links of the container\'s lead nowhere but inside it, on the way in and out (CVE-2018-15664)', async () => {
  await using container = await run('busybox', sleeper)
  await sh(container, `mkdir -p /d && ln -s ${target} /absolute && ln -s ${up}${target.slice(1)} /d/relative && ln -s ${secret} /file && ln -s /proc/1/root${target} /magic`)
  for (const path of ['/absolute/secret', '/d/relative/secret', '/file', '/magic/secret', `${up}${secret}`]) {
    await expect(container.copyOut(path.startsWith('/') ? path : `/${path}`, join(out, 'stolen'), { follow: true })).rejects.toEqual(REFUSED)
  }
  await sh(container, `mkdir -p ${target}`)
  await container.copyIn({ content: 'inside' }, '/absolute/secret')
  await container.copyIn({ content: 'inside' }, '/file')
  await expect(container.copyIn({ content: 'x' }, '/magic/new')).rejects.toEqual(REFUSED)
  expect((await sh(container, `cat ${secret}`)).stdout).toBe('inside')
  expect(readdirSync(out)).toEqual([])
})

test('11. what a container\'s procfs shows of other processes is no way out, its host\'s either', async () => {
  await using container = await run('busybox', { ...sleeper, pid: 'host', privileged: true })
  const pids = (await sh(container, 'ls /proc')).stdout.split('\n').filter((name) => /^\d+$/.test(name))
  expect(pids.length).toBeGreaterThan(1)
  for (const pid of [...pids, 'self', 'thread-self']) {
    for (const way of ['root', 'cwd', 'fd/3', 'fd/4', 'fd/5']) {
      await expect(container.copyOut(`/proc/${pid}/${way}${secret}`, join(out, 'stolen'))).rejects.toEqual(REFUSED)
      await expect(container.copyIn({ content: 'x' }, `/proc/${pid}/${way}${target}/new`)).rejects.toEqual(REFUSED)
    }
  }
})

test('11. a destination that is exchanged for a link all the time stays inside (CVE-2018-15664, CVE-2026-41568, CVE-2026-42306)', async () => {
  await using container = await run('busybox', { ...sleeper, copy: [{ content: racer(), target: '/racer', mode: 0o755 }] })
  await sh(container, `mkdir -p /r/dir && echo inside > /r/dir/secret && ln -s ${up}${target.slice(1)} /r/link && mkdir -p ${target} && echo inside > ${secret}`)
  await using racing = await container.spawn(['/racer', '/r/dir', '/r/link'])
  let succeeded = 0
  for (let round = 0; round < 60; round += 1) {
    const file = join(out, `raced-${round}`)
    const done = await Promise.allSettled([
      container.copyIn({ content: `round ${round}` }, '/r/dir/secret'),
      container.copyIn({ content: 'new' }, `/r/dir/new/${round}`),
      container.copyOut('/r/dir/secret', file),
    ])
    succeeded += done.filter(({ status }) => status === 'fulfilled').length
    if (done[2]?.status === 'fulfilled') expect(readFileSync(file, 'utf8')).toMatch(/^(inside|round \d+)/)
  }
  expect(succeeded).toBeGreaterThan(0)
  await racing.kill()
})

test('6. a mount\'s destination that is exchanged for a link all the time stays inside (CVE-2021-30465)', async () => {
  await using shared = await volume()
  const source = join(out, 'source')
  mkdirSync(source)
  await using first = await run('busybox', { ...sleeper, copy: [{ content: racer(), target: '/racer', mode: 0o755 }], mounts: [{ volume: shared, target: '/v' }] })
  await sh(first, `mkdir -p /v/dir && ln -s ${up}${target.slice(1)} /v/link`)
  await using racing = await first.spawn(['/racer', '/v/dir', '/v/link'])
  for (let round = 0; round < 25; round += 1) {
    await using second = await run('busybox', { ...sleeper, mounts: [{ volume: shared, target: '/v' }, { source, target: `/v/dir/${round}` }], tmpfs: [`/v/dir/t${round}`] }).catch(() => undefined)
    expect(second === undefined || (await sh(second, 'cat /proc/1/mountinfo')).stdout.includes('/v')).toBe(true)
  }
  await racing.kill()
  expect(readdirSync(target)).toEqual(['secret'])
})

test('11. nothing of the image\'s is run or loaded for a copy (CVE-2019-14271, CVE-2026-41567)', async () => {
  const hostile = '#!/bin/sh\necho ran >> /ran\n'
  const programs = ['bin/tar', 'usr/bin/tar', 'bin/cp', 'usr/bin/unpigz', 'bin/gzip', 'sbin/mayfly-native', 'lib/libnss_files.so.2', 'lib/x86_64-linux-gnu/libnss_files.so.2']
  const image = await place.craft([
    { name: 'etc', type: 'directory' }, { name: 'etc/nsswitch.conf', content: 'passwd: evil\n' }, { name: 'etc/ld.so.preload', content: '/lib/evil.so\n' },
    { name: 'etc/passwd', content: 'evil:x:70:71::/:/bin/sh\n' }, { name: 'etc/group', content: 'evil:x:71:\n' },
    ...programs.map((name) => ({ name, content: hostile, mode: 0o755 })),
  ])
  await using container = await run(image, { command: ['/bin/busybox', 'sleep', '600'], ready: sleeper.ready })
  await container.copyIn({ content: 'x' }, '/copied', { user: 'evil' })
  await container.copyOut('/etc', join(out, 'etc'))
  expect((await container.exec(['/bin/busybox', 'stat', '-c', '%u:%g', '/copied'])).stdout).toBe('70:71\n')
  expect((await container.exec(['/bin/busybox', 'test', '-e', '/ran'])).exitCode).toBe(1)
})

test('11. what was copied out is no way out for what is copied out next, and a tar\'s links none for its own entries', async () => {
  await using container = await run('busybox', sleeper)
  const there = join(out, 'twice')
  await sh(container, `mkdir /w && ln -s ${target} /w/way`)
  await container.copyOut('/w', there)
  expect(lstatSync(join(there, 'way')).isSymbolicLink()).toBe(true)
  await sh(container, 'rm /w/way && mkdir /w/way && echo stolen > /w/way/secret')
  await expect(container.copyOut('/w/.', there)).rejects.toEqual(REFUSED)
  await sh(container, `mkdir -p ${target}`)
  const tar = pack()
  tar.entry({ name: 'way', type: 'symlink', linkname: `${up}${target.slice(1)}` })
  tar.entry({ name: 'way/secret' }, 'stolen')
  tar.entry({ name: 'hard', type: 'link', linkname: 'way/secret' })
  tar.finalize()
  await container.copyIn({ tar }, '/t')
  expect((await sh(container, `cat ${secret} /t/hard`)).stdout).toBe('stolenstolen')
})

test('11. pipes and devices are neither opened nor brought out', async () => {
  await using container = await run('busybox', sleeper)
  await sh(container, 'mkdir -p /n && mkfifo /n/pipe && mknod /n/null c 1 3')
  await container.copyOut('/n', join(out, 'nodes'))
  expect(readdirSync(join(out, 'nodes'))).toEqual(['pipe'])
  await container.copyOut('/dev', join(out, 'dev'))
  expect(readdirSync(join(out, 'dev'))).not.toContain('null')
})
