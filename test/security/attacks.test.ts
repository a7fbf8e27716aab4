import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { currentRun, run, socketDirectory } from '../../packages/core/src/container/index.js'
import { nativeBinary } from '../../packages/core/src/native/index.js'
import { openPlace, outcome, sh, sleeper, type Place } from './place.js'

/** A place of the host that every attack aims at, and that must stay as it is. */
const target = mkdtempSync(join(tmpdir(), 'mf-target-'))
const secret = join(target, 'secret')
let place: Place
beforeAll(async () => {
  writeFileSync(secret, 'untouched')
  place = await openPlace()
})
afterAll(async () => {
  await place.close()
  expect(readdirSync(target)).toEqual(['secret'])
  expect(readFileSync(secret, 'utf8')).toBe('untouched')
  rmSync(target, { recursive: true })
})

const INVALID = expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID' }) as unknown

test('1. the runtime\'s own program cannot be overwritten through /proc/self/exe (CVE-2019-5736)', async () => {
  const before = createHash('sha256').update(readFileSync(nativeBinary())).digest('hex')
  await using container = await run('busybox', { ...sleeper, init: true })
  expect((await sh(container, 'echo x >> /proc/1/exe')).exitCode).not.toBe(0)
  expect((await sh(container, 'readlink /proc/1/exe')).stdout).toMatch(/memfd/)
  // The attack itself: an image whose program is a script that names the runtime as its interpreter, then opens it for writing.
  const image = await place.craft([
    { name: 'attack', content: '#!/proc/self/exe', mode: 0o755 },
    { name: 'writer', content: '#!/bin/sh\nfor p in /proc/[0-9]*; do (echo x >> $p/exe) 2>/dev/null && echo wrote $p; done; echo done\n', mode: 0o755 },
  ])
  await using victim = await run(image, { command: ['/bin/busybox', 'sleep', '600'], ready: sleeper.ready })
  const attack = victim.exec(['/attack']).catch(() => undefined)
  for (let round = 0; round < 10; round += 1) expect((await victim.exec(['/writer'])).stdout).toBe('done\n')
  await attack
  expect(createHash('sha256').update(readFileSync(nativeBinary())).digest('hex')).toBe(before)
})

describe('2. no directory of the host is leaked by a descriptor or a working directory (CVE-2024-21626)', () => {
  test.each(Array.from({ length: 12 }, (_, at) => `/proc/self/fd/${at + 3}`))('%s', async (workdir) => {
    for (const attempt of [() => outcome('busybox', { workdir, command: 'cat ../../../../../../../etc/hostname /proc/self/cwd/../../etc/hostname; ls' })]) {
      const seen = await attempt().then(({ text }) => text, (error: { code: string }) => error.code)
      expect(seen).not.toContain(readFileSync('/etc/hostname', 'utf8').trim())
    }
    await using container = await run('busybox', sleeper)
    const inside = await container.exec(['ls', '-a'], { cwd: workdir }).then(({ stdout }) => stdout, () => '')
    expect(inside).not.toMatch(/runs|scratch|stage/)
  })

  test('a command inherits three descriptors', async () => {
    await using container = await run('busybox', sleeper)
    expect((await container.exec(['ls', '/proc/self/fd'])).stdout.trim().split('\n')).toEqual(['0', '1', '2', '3'])
    expect((await sh(container, 'readlink /proc/1/fd/* | grep -v pipe: | grep -v /dev/null')).stdout).toBe('')
  })
})

test('3. masks are not made of an image\'s /dev/null (CVE-2025-31133)', async () => {
  const image = await place.craft([{ name: 'dev', type: 'directory' }, { name: 'dev/null', type: 'symlink', target: '/proc/sys/kernel/core_pattern' }])
  const { text } = await outcome(image, { command: ['/bin/busybox', 'stat', '-c', '%n %t,%T', '/proc/keys', '/dev/null'] })
  expect(text).toBe('/proc/keys 1,3\n/dev/null 1,3')
})

describe('4. a terminal is never what lies at a path of the container\'s (CVE-2025-52565)', () => {
  test('an image whose /dev, /dev/console or /dev/pts lead elsewhere', async () => {
    for (const entries of [
      [{ name: 'dev', type: 'symlink', target }],
      [{ name: 'dev', type: 'directory' }, { name: 'dev/console', type: 'symlink', target: secret }, { name: 'dev/pts', type: 'symlink', target }],
    ] as const) {
      const image = await place.craft(entries)
      const how = await outcome(image, { command: ['/bin/busybox', 'sh', '-c', 'echo written > /dev/console; busybox stat -c %t /dev/console; busybox tty'], tty: true })
        .then(({ text }) => text, () => 'refused')
      expect(how).toMatch(/^written\r?\n88\r?\n\/dev\/pts\/0|refused/)
      expect(readFileSync(secret, 'utf8')).toBe('untouched')
    }
  })

  test('one who may mount swaps /dev/pts, its ptmx and its terminals while commands are started', async () => {
    await using container = await run('busybox', { ...sleeper, capAdd: ['SYS_ADMIN'], seccomp: 'unconfined', mounts: [{ source: target, target: '/host', readonly: true }] })
    expect((await container.exec(['tty'], { tty: true })).stdout).toMatch(/^\/dev\/pts\/\d+\r\n$/)
    // What gives no terminal is refused before anything is written to it, and before the command runs.
    for (const trap of ['ln -s /host/secret /dev/pts/ptmx', 'mkfifo /dev/pts/ptmx', 'mknod /dev/pts/ptmx c 1 3', 'echo > /dev/pts/ptmx', 'mkdir /dev/pts/ptmx; mount -t devpts -o newinstance devpts /dev/pts/ptmx']) {
      const { stderr } = await sh(container, `mount -t tmpfs tmpfs /dev/pts && ${trap}`)
      const started = container.exec(['touch', '/ran'], { tty: true })
      await expect(started).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED' })
      expect(stderr).toBe('')
      await sh(container, 'umount -l /dev/pts/ptmx; umount /dev/pts')
    }
    // A race: the directory is exchanged all the time. Each command has a terminal of a devpts, or is refused.
    await using racer = await container.spawn(['sh', '-c', 'while :; do mount -t tmpfs tmpfs /dev/pts && ln -s /host/secret /dev/pts/ptmx; umount /dev/pts; done'])
    const seen = new Set<string>()
    for (let round = 0; round < 60; round += 1) {
      seen.add(await container.exec(['sh', '-c', 'test -t 0 && test -t 1 && stat -L -c %t /proc/self/fd/0'], { tty: true }).then(({ stdout }) => stdout.trim(), ({ code }: { code: string }) => code))
    }
    await racer.kill()
    expect([...seen].filter((one) => one !== '88' && one !== 'ERR_MAYFLY_UNSUPPORTED')).toEqual([])
    expect((await sh(container, 'test -e /ran')).exitCode).toBe(1)
  })

  test('a terminal opened inside leads to no other container\'s and not to the machine\'s', async () => {
    await using first = await run('busybox', { ...sleeper, tty: true })
    await using second = await run('busybox', { ...sleeper, tty: true })
    for (const one of [first, second]) expect((await sh(one, 'ls /dev/pts')).stdout).toBe('0\nptmx\n')
    expect((await sh(first, 'readlink /proc/1/fd/0; ls -l /proc/1/fd | grep -c ptmx')).stdout).toBe('/dev/pts/0\n0\n')
  })
})

test('5. nothing is mounted over /proc, /sys or their parts, and an image\'s own are no traps (CVE-2025-52881, CVE-2019-16884)', async () => {
  for (const path of ['/proc', '/proc/self', '/sys', '/sys/fs/cgroup', '/proc/../proc', '/']) {
    await expect(run('busybox', { ...sleeper, mounts: [{ source: target, target: path }] })).rejects.toEqual(INVALID)
    await expect(run('busybox', { ...sleeper, tmpfs: [path] })).rejects.toEqual(INVALID)
  }
  for (const name of ['proc', 'sys']) {
    const image = await place.craft([{ name, type: 'symlink', target }])
    const how = await outcome(image, { command: ['/bin/busybox', 'cat', '/proc/self/attr/current', '/proc/version'] }).then(({ text }) => text, () => 'refused')
    expect(how).toMatch(/Linux version|refused/)
  }
})

test('6. a mount\'s destination that is a link stays inside (CVE-2021-30465)', async () => {
  const image = await place.craft([
    { name: 'data', type: 'symlink', target }, { name: 'up', type: 'symlink', target: '../../../../../../../../tmp' }, { name: 'tmp', type: 'directory' },
    { name: 'same', type: 'symlink', target: tmpdir() },
  ])
  const given = mkdtempSync(join(tmpdir(), 'mf-given-'))
  writeFileSync(join(given, 'given'), 'x')
  try {
    // Where the link leads nowhere inside, the start fails; it is never made to lead somewhere.
    for (const path of ['/data', '/data/deeper']) {
      await expect(run(image, { ...sleeper, mounts: [{ source: given, target: path }] })).rejects.toMatchObject({ details: { operation: 'mount.bind', errno: 'ENOENT' } })
    }
    for (const path of ['/up', '/same', '/same/deeper']) {
      await using container = await run(image, { ...sleeper, command: ['/bin/busybox', 'sleep', '600'], mounts: [{ source: given, target: path }] })
      expect((await container.exec(['/bin/busybox', 'ls', path])).stdout).toBe('given\n')
    }
    expect(existsSync(join(target, 'deeper')) || existsSync(join(tmpdir(), 'deeper'))).toBe(false)
  } finally {
    rmSync(given, { recursive: true })
  }
})

test('7. directories made on the way go through no link to the host (CVE-2024-45310)', async () => {
  const image = await place.craft([{ name: 'w', type: 'symlink', target }, { name: 'x', type: 'directory' }, { name: 'x/y', type: 'symlink', target: `../../../../..${target}` }])
  for (const workdir of ['/w/made', '/x/y/made', '/x/../w/made']) {
    await expect(run(image, { ...sleeper, workdir })).rejects.toMatchObject({ details: { operation: 'mkdir', errno: 'ENOENT' } })
  }
  const inside = await place.craft([{ name: 'w', type: 'symlink', target: tmpdir() }, { name: 'tmp', type: 'directory' }])
  expect((await outcome(inside, { workdir: '/w/made', command: ['/bin/busybox', 'pwd', '-P'] })).text).toBe(join(tmpdir(), 'made'))
  expect(existsSync(join(tmpdir(), 'made'))).toBe(false)
})

test('8. an image whose /dev is a link (CVE-2026-41579)', async () => {
  const image = await place.craft([{ name: 'dev', type: 'symlink', target }])
  const how = await outcome(image, { command: ['/bin/busybox', 'ls', '/dev'] }).then(({ text }) => text, (error: { code: string }) => error.code)
  expect(how).toMatch(/null|ERR_MAYFLY_NATIVE_FAILED/)
})

describe('9. users that are none (CVE-2026-30892)', () => {
  test.each(['-1', '4294967296', '4294967295', '0x0', '1e3', ' 0', '0 ', '+0', '٣', '1:-1', '1:4294967296', 'nobody:', ':1:2'])('%j is refused', async (user) => {
    await expect(run('busybox', { ...sleeper, user })).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_MAYFLY_(OPTION_INVALID|USER_NOT_FOUND)$/) as string })
  })

  test('a hostile /etc/passwd is not waited for, not followed to the host, and not read without end', async () => {
    const link = await place.craft([{ name: 'etc', type: 'directory' }, { name: 'etc/passwd', type: 'symlink', target: '../../../../../../../../etc/shadow' }])
    const pipe = await place.craft([{ name: 'etc', type: 'directory' }, { name: 'etc/passwd', type: 'fifo' }])
    const huge = await place.craft([{ name: 'etc', type: 'directory' }, { name: 'etc/passwd', content: Buffer.alloc(16 << 20, 'x:x:0:0:\n') }])
    for (const image of [link, pipe, huge]) {
      await expect(run(image, { ...sleeper, user: 'daemon' })).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_MAYFLY_/) as string })
      expect((await outcome(image, { command: ['/bin/busybox', 'echo', 'ran'] })).text).toBe('ran')
    }
  })
})

test('10. a VOLUME that points outside copies nothing from the host (CVE-2022-23648)', async () => {
  const image = await place.craft([{ name: 'v', type: 'symlink', target }], { Volumes: { '/v': {}, '/../..//etc': {}, [`/x/../../../..${target}`]: {} } })
  const { text } = await outcome(image, { command: ['/bin/busybox', 'sh', '-c', '/bin/busybox cat /v/secret /secret 2>/dev/null; echo end'] })
  expect(text).toBe('end')
})

test('12. no way out by release_agent, a user namespace or a mount (CVE-2022-0492, CVE-2022-0185)', async () => {
  const { text } = await outcome('busybox', {
    command: 'for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release -o -name cgroup.procs); do (echo x > $f) 2>/dev/null && echo wrote $f; done; ' +
      'unshare -Urm true 2>/dev/null && echo userns; mkdir /m; mount -t cgroup -o memory c /m 2>/dev/null && echo mounted; mount -o remount,rw /sys/fs/cgroup/memory 2>/dev/null && echo remounted; mount -o remount,rw /proc/sys 2>/dev/null && echo sys; echo end',
  })
  expect(text).toBe('end')
})

test.each(['kernel.core_pattern', 'kernel.shm_rmid_forced/../core_pattern', 'net/../kernel/core_pattern', 'vm.overcommit_memory', 'fs.file-max', 'net.ipv4.ip_forward\n', '/kernel/shmmax', 'kernel.sem/x'])(
  '13. the sysctl %j is no container\'s (CVE-2022-0811)', async (name) => {
    const before = readFileSync('/proc/sys/kernel/core_pattern', 'utf8')
    await expect(run('busybox', { ...sleeper, sysctls: { [name]: '|/bin/sh' } })).rejects.toEqual(INVALID)
    expect(readFileSync('/proc/sys/kernel/core_pattern', 'utf8')).toBe(before)
  })

test('14. no group and no inheritable capability more than asked for (CVE-2022-2989, CVE-2022-24769)', async () => {
  const status = 'grep -E "^(Groups|CapInh|CapPrm|CapAmb)" /proc/self/status | tr "\\t" " "'
  const user = 'Groups: 1000 \nCapInh: 0000000000000000\nCapPrm: 0000000000000000\nCapAmb: 0000000000000000'
  expect((await outcome('busybox', { user: '1000:1000', command: status })).text.replace(/ \n/, ' \n')).toBe(user)
  await using container = await run('busybox', sleeper)
  expect((await sh(container, status, { user: '1000:1000' })).stdout.trim()).toBe(user)
})

describe('15. the control socket', () => {
  test('lies where nobody else may look, and asks for the run\'s token', async () => {
    await using container = await run('busybox', sleeper)
    const { connection, dir } = await currentRun()
    expect(connection.lost).toBe(false)
    const { socket } = JSON.parse(readFileSync(join(dir, 'run.json'), 'utf8')) as { socket: string }
    expect(statSync(dirname(socket)).mode & 0o077).toBe(0)
    expect(statSync(join(dir, 'run.json')).mode & 0o077).toBe(0)
    expect(dirname(socket)).toBe(socketDirectory())
    // hello without the token, then a list.
    const peer = connect(socket)
    const frame = (payload: Buffer): Buffer => Buffer.concat([Buffer.from([payload.length, 0, 0, 0, 1, 1, 0, 0, 0]), payload])
    const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length, 0, 0, 0]), Buffer.from(value)])
    peer.write(frame(Buffer.concat([Buffer.from([1, 0, 1, 0, 0, 0]), text('0.1.0'), text('wrong')])))
    const answer = await new Promise<Buffer>((resolve) => peer.once('data', resolve))
    peer.write(frame(Buffer.from([18, 0])))
    const second = await new Promise<Buffer>((resolve) => peer.once('data', resolve))
    peer.destroy()
    expect([answer[4], second[4]]).toEqual([3, 3])
    expect((await container.exec(['true'])).exitCode).toBe(0)
  })

  test('is in no container, by path or as an abstract name', async () => {
    await using container = await run('busybox', { ...sleeper, privileged: true })
    expect((await sh(container, 'cat /proc/net/unix | tail -n +2 | wc -l')).stdout).toBe('0\n')
    expect((await sh(container, 'find / -xdev -type s')).stdout).toBe('')
    expect((await sh(container, 'ps -o comm | grep -c mayfly')).stdout).toBe('0\n')
  })
})

test('the host\'s loopback and its other networks are not a container\'s', async () => {
  const listener = createServer((socket) => socket.end('host'))
  await new Promise<void>((resolve) => { listener.listen(0, '127.0.0.1', resolve) })
  const { port } = listener.address() as { port: number }
  try {
    await using container = await run('busybox', sleeper)
    expect((await sh(container, `nc -w 1 127.0.0.1 ${port} </dev/null`)).stdout).toBe('')
  } finally {
    listener.close()
  }
})
