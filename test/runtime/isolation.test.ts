import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { run, type Container } from '../../packages/core/src/container/index.js'
import { executed, openPlace, outcome, sh, sleeper, type Place } from '../security/place.js'

let place: Place
const source = mkdtempSync(join(tmpdir(), 'mf-bind-'))
/** What only root may have; an ordinary user is told so, by the tests for it. */
const root = process.geteuid?.() === 0
beforeAll(async () => {
  // Before the run begins: where the host's mounts are private, a run sees those that were there.
  if (root) {
    execFileSync('mount', ['--bind', source, source])
    execFileSync('mount', ['--make-shared', source])
    mkdirSync(join(source, 'below'))
    mkdirSync(join(source, 'later'))
    execFileSync('mount', ['-t', 'tmpfs', 'below', join(source, 'below')])
  }
  place = await openPlace()
})
afterAll(async () => {
  await place.close()
  if (root) execFileSync('umount', ['-R', source])
  rmSync(source, { recursive: true })
})

const KINDS = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts']

async function namespaces(container: Container): Promise<Record<string, string>> {
  const { stdout } = await sh(container, `for kind in ${KINDS.join(' ')}; do echo $kind $(readlink /proc/self/ns/$kind); done`)
  return Object.fromEntries(stdout.trim().split('\n').map((line) => line.split(' ') as [string, string]))
}

const ofHost = (kind: string): string => readlinkSync(`/proc/self/ns/${kind}`)

test('every namespace but user and time is the container\'s own', async () => {
  await using one = await run('busybox', sleeper)
  await using other = await run('busybox', sleeper)
  const [first, second] = [await namespaces(one), await namespaces(other)]
  for (const kind of ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts']) {
    expect([kind, first[kind]]).not.toEqual([kind, ofHost(kind)])
    expect([kind, first[kind]]).not.toEqual([kind, second[kind]])
  }
  expect(first['time']).toEqual(ofHost('time'))
  // An ordinary user's run has a user namespace, and all its containers are in it.
  expect(first['user']).toBe(second['user'])
  expect(first['user'] === ofHost('user')).toBe(root)
})

test.runIf(root)('network, ipc and uts of the host', async () => {
  await using container = await run('busybox', { ...sleeper, network: 'host', ipc: 'host', uts: 'host' })
  const inside = await namespaces(container)
  for (const kind of ['net', 'ipc', 'uts']) expect([kind, inside[kind]]).toEqual([kind, ofHost(kind)])
  expect((await sh(container, 'hostname; cat /etc/hostname')).stdout).toBe(`${hostname()}\n${hostname()}\n`)
  const before = readdirSync('/dev/shm')
  expect((await sh(container, 'ls -A /dev/shm')).stdout.split('\n').filter(Boolean).sort()).toEqual(before.sort())
  expect(container.host).toBe('127.0.0.1')
})

test.runIf(root)('a port of a container on the host\'s network is that of the host', async () => {
  await using container = await run('busybox', {
    command: ['nc', '-ll', '-p', '18733', '-e', 'echo', 'hello'], network: 'host', ports: [18733],
  })
  expect(container.urlOf(18733)).toBe('http://127.0.0.1:18733')
  const said = await new Promise<string>((resolve, reject) => {
    connect(18733, '127.0.0.1').once('data', (data) => resolve(String(data))).once('error', reject)
  })
  expect(said).toBe('hello\n')
})

test.runIf(!root)('the host\'s network is root\'s to give, and the refusal says so', async () => {
  await expect(run('busybox', { ...sleeper, network: 'host' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNPRIVILEGED' })
})

test.runIf(!root)('an ordinary user\'s root has no more than the user', async () => {
  await using container = await run('busybox', { ...sleeper, privileged: true })
  expect((await sh(container, 'mknod /x b 254 0 || echo refused')).stdout).toBe('refused\n')
  expect((await sh(container, 'cat /etc/shadow > /dev/null && id -u')).stdout).toBe('0\n')
  await using readonly = await run('busybox', { ...sleeper, readonly: true, tmpfs: ['/tmp'] })
  expect((await sh(readonly, 'touch /x 2>/dev/null || touch /tmp/x && echo tmp')).stdout).toBe('tmp\n')
})

test('network none has the loopback alone', async () => {
  const { text } = await outcome('busybox', { network: 'none', command: 'ls /sys/class/net; ping -c1 -W1 127.0.0.1 >/dev/null && echo up' })
  expect(text).toBe('lo\nup')
  await expect(run('busybox', { ...sleeper, network: 'none', ports: [80] })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})

test('namespaces of another container, by name and by id', async () => {
  await using first = await run('busybox', { ...sleeper, name: 'first' })
  await using second = await run('busybox', { ...sleeper, pid: 'container:first', ipc: `container:${first.id}`, uts: 'container:first', network: `container:${first.id.slice(0, 12)}` })
  const [one, two] = [await namespaces(first), await namespaces(second)]
  for (const kind of ['pid', 'ipc', 'uts', 'net']) expect([kind, two[kind]]).toEqual([kind, one[kind]])
  for (const kind of ['mnt', 'cgroup']) expect([kind, two[kind]]).not.toEqual([kind, one[kind]])
  expect(second.ip).toBe(first.ip)
  expect((await sh(second, 'hostname; cat /etc/hosts')).stdout).toContain(`${first.ip}\t${first.id.slice(0, 12)}`)
  await sh(first, 'echo shared > /dev/shm/word')
  expect((await sh(second, 'cat /dev/shm/word')).stdout).toBe('shared\n')
  expect((await sh(second, 'ps -o comm | grep -c sleep')).stdout).toBe('2\n')
  await expect(run('busybox', { ...sleeper, pid: 'container:gone' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_CONTAINER_NOT_FOUND' })
})

test.runIf(root)('what shares a pid namespace ends whole: with its own removal, and with the namespace', async () => {
  await using first = await run('busybox', sleeper)
  const second = await run('busybox', { ready: executed, pid: `container:${first.id}`, command: 'sleep 601 & setsid sleep 602 & sleep 603' })
  const sleepers = async (): Promise<string> => (await sh(first, 'ps -o args | grep "sleep 60[123]" | grep -vc grep')).stdout.trim()
  await expect.poll(sleepers).toBe('3')
  await second.stop({ timeout: 0 })
  await expect.poll(sleepers).toBe('0')
  const third = await run('busybox', { ...sleeper, pid: `container:${first.id}` })
  await first.stop({ timeout: 0 })
  expect(await third.exit).toMatchObject({ signal: 'SIGKILL' })
})

test.runIf(root)('pid host sees the run and leaves nothing in it', async () => {
  await using first = await run('busybox', sleeper)
  const second = await run('busybox', { ready: executed, pid: 'host', command: 'sleep 604 & (sleep 605 &) ; sleep 606' })
  await expect.poll(async () => (await sh(second, 'ps -o args | grep "sleep 60[0456]" | grep -vc grep')).stdout.trim()).toBe('4')
  expect((await sh(second, 'kill -9 1; sleep 0.01; ps -o pid,comm | grep -c mayfly')).stdout).not.toBe('0\n')
  await second.stop({ timeout: 0 })
  await using third = await run('busybox', { ...sleeper, pid: 'host' })
  expect((await sh(third, 'ps -o args | grep "sleep 60[456]" | grep -vc grep')).stdout).toBe('0\n')
  expect((await first.exec(['true'])).exitCode).toBe(0)
})

test.runIf(root)('a time namespace moves its own clocks, for commands in it too', async () => {
  await using container = await run('busybox', { ...sleeper, timeOffsets: { monotonic: 1_000_000, boottime: 2_000_000 } })
  const up = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
  const inside = Number((await sh(container, 'cut -d" " -f1 /proc/uptime')).stdout)
  expect(inside - up).toBeGreaterThan(1_999_990)
  expect(inside - up).toBeLessThan(2_000_010)
})

test('init: pid 1 forwards signals, reaps orphans, and ends as its child does', async () => {
  const trap = 'trap "echo caught; exit 7" USR1; (sleep 0.05 & exit 0); echo ready; while :; do sleep 0.02; done'
  await using container = await run('busybox', { init: true, command: trap, ready: executed })
  const lines = container.logs({ follow: true })[Symbol.asyncIterator]()
  expect((await lines.next()).value?.text).toBe('ready')
  expect((await sh(container, 'cat /proc/1/comm; tr "\\0" " " < /proc/1/cmdline; echo; ls /proc/1/fd | wc -l; wc -c < /proc/1/environ')).stdout)
    .toBe('mayfly-init\nmayfly-init init 2 \n0\n0\n')
  await expect.poll(async () => (await sh(container, 'cat /proc/[0-9]*/stat | grep -c " Z "')).stdout.trim()).toBe('0')
  await container.kill('SIGUSR1')
  expect(await container.exit).toMatchObject({ code: 7, signal: undefined })
  expect((await lines.next()).value?.text).toBe('caught')
  expect((await outcome('busybox', { init: true, command: 'kill -TERM $$' })).code).toBe(143)
  expect((await outcome('busybox', { init: true, command: 'exit 3', user: '1234:1234' })).code).toBe(3)
  await expect(run('busybox', { init: true, command: ['/missing'] })).rejects.toMatchObject({ code: 'ERR_MAYFLY_COMMAND_NOT_FOUND' })
})

test.runIf(root)('a read-only root, with writable tmpfs where asked for', async () => {
  const { text } = await outcome('busybox', {
    readonly: true, tmpfs: ['/run:size=1m,mode=750,uid=5,gid=6', '/tmp:exec'],
    command: 'for path in / /etc /root /run /tmp /dev/shm; do touch $path/x 2>/dev/null && echo $path; done; stat -c %a,%u,%g /run; grep -E " /(run|tmp) " /proc/mounts | cut -d" " -f2,4 | sed s/,inode64//',
  })
  expect(text.split('\n')).toEqual(['/run', '/tmp', '/dev/shm', '750,5,6', '/run rw,nosuid,nodev,noexec,relatime,size=1024k,mode=750,uid=5,gid=6', '/tmp rw,nosuid,nodev,relatime'])
})

test.runIf(root)('binds: read-only to their depth, alone or with what is below, and following the host', async () => {
  writeFileSync(join(source, 'below/file'), 'deep')
  await using container = await run('busybox', {
    ...sleeper,
    mounts: [
      { source, target: '/ro', readonly: true }, { source, target: '/rw' }, { source, target: '/flat', recursive: false },
      { source, target: '/following', propagation: 'rslave' }, { source: join(source, 'below/file'), target: '/one/file' },
    ],
  })
  expect((await sh(container, 'touch /ro/x || touch /ro/below/x || mount -o remount,rw /ro/below || cat /ro/below/file')).stdout).toBe('deep')
  expect((await sh(container, 'touch /rw/below/x && ls /rw/below')).stdout).toBe('file\nx\n')
  expect((await sh(container, 'ls /flat/below; cat /one/file')).stdout).toBe('deep')
  execFileSync('mount', ['-t', 'tmpfs', 'later', join(source, 'later')])
  writeFileSync(join(source, 'later/new'), '')
  expect((await sh(container, 'ls /following/later /rw/later')).stdout).toBe('/following/later:\nnew\n\n/rw/later:\n')
  await expect(run('busybox', { ...sleeper, mounts: [{ source: '/of/no/host', target: '/x' }] }))
    .rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID', message: expect.stringContaining('/of/no/host') as string })
})

test.runIf(root)('devices: only those allowed open, whatever root makes', async () => {
  const { text } = await outcome('busybox', {
    command: 'mknod /tmp/disk b 254 0 && head -c1 /tmp/disk; mknod /tmp/kmsg c 1 11 && head -c1 /tmp/kmsg; mknod /tmp/zero c 1 5 && head -c1 /tmp/zero | wc -c',
  })
  expect(text.replaceAll('/tmp/', '')).toBe('head: disk: Operation not permitted\nhead: kmsg: Operation not permitted\n1')
  await using readable = await run('busybox', { ...sleeper, devices: ['/dev/fuse:/dev/sub/fuse:r'] })
  expect((await sh(readable, 'stat -c "%t,%T %F" /dev/sub/fuse; (exec 5</dev/sub/fuse) && echo read; (exec 5<>/dev/sub/fuse) 2>/dev/null || echo not')).stdout)
    .toBe('a,e5 character special file\nread\nnot\n')
  await using writable = await run('busybox', { ...sleeper, devices: ['/dev/fuse'] })
  expect((await sh(writable, 'exec 5<>/dev/fuse && echo open')).stdout).toBe('open\n')
  for (const devices of [['/dev/none'], ['/dev/null:rwx'], ['/etc/passwd'], ['/dev/null:/etc/null'], ['/dev/null:/dev/a:r:w'], ['/dev/null:/dev/a:rr']]) {
    await expect(run('busybox', { ...sleeper, devices })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID', message: expect.stringContaining(devices[0] ?? '') as string })
  }
})

test.runIf(root)('ulimits, sysctls, names, groups and the OOM score', async () => {
  const { text } = await outcome('debian', {
    ulimits: { nofile: { soft: 100, hard: 200 }, core: 0 }, sysctls: { 'net.core.somaxconn': '77', 'kernel.msgmax': '9000', 'net.ipv4.ip_forward': '1' },
    hostname: 'box', domainname: 'example.org', user: 'www-data', groupAdd: ['audio', 1234], oomScoreAdj: 500, shmSize: '3m', workdir: '/made/up',
    command: 'ulimit -n; ulimit -Hn; cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/domainname; hostname; id; cat /proc/self/oom_score_adj; df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2; pwd',
  })
  expect(text.split('\n')).toEqual(['100', '200', '77', '9000', '1', 'example.org', 'box', 'uid=33(www-data) gid=33(www-data) groups=33(www-data),29(audio),1234', '500', '3072', '/made/up'])
})

test('ulimits hold for commands in the container, too', async () => {
  await using container = await run('busybox', { ...sleeper, ulimits: { nofile: { soft: 100, hard: 200 } } })
  expect((await sh(container, 'ulimit -n; ulimit -Hn')).stdout).toBe('100\n200\n')
})

test.runIf(root)('privileged: every capability and device, nothing masked, no filter', async () => {
  await using container = await run('busybox', { ...sleeper, privileged: true })
  const { stdout } = await sh(container, 'grep -E "CapBnd|Seccomp:" /proc/self/status; mkdir /mnt && mount -t tmpfs t /mnt && echo mounted; cd /sys/fs/cgroup; [ -e cgroup.controllers ] || cd pids; mkdir x && rmdir x && echo groups; test -e /dev/loop-control -o -e /dev/kmsg && echo devices; echo 1 > /proc/sys/net/ipv4/ip_forward && echo sys')
  const own = /CapBnd:\t(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  expect(stdout).toBe(`CapBnd:\t${own}\nSeccomp:\t0\nmounted\ngroups\ndevices\nsys\n`)
})

test('seccomp: unconfined, and a profile of one\'s own, for commands too', async () => {
  const profile = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 28 }] }
  const file = join(place.directory, 'profile.json')
  writeFileSync(file, JSON.stringify(profile))
  const command = 'grep Seccomp: /proc/self/status; mkdir /x 2>&1'
  expect((await outcome('busybox', { seccomp: 'unconfined', command })).text).toBe('Seccomp:\t0')
  for (const seccomp of [profile, file]) {
    const { text } = await outcome('busybox', { seccomp, command })
    expect(text).toBe('Seccomp:\t2\nmkdir: can\'t create directory \'/x\': No space left on device')
  }
  await using container = await run('busybox', { ...sleeper, seccomp: profile })
  expect((await sh(container, 'mkdir /x')).stderr).toContain('No space left')
  await expect(run('busybox', { ...sleeper, seccomp: '/no/such.json' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})
