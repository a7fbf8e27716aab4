import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPlace, type Place, rootful } from '../place.js'

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(() => place.close())

/** Runs a script in a container with these flags; its output by lines. */
async function inside(flags: readonly string[], script: string): Promise<string[]> {
  const { code, stdout, stderr } = await place.mayfly(['run', '--rm', ...flags, 'busybox', 'sh', '-c', script])
  expect([flags, code, stderr]).toEqual([flags, 0, ''])
  return stdout.trimEnd().split('\n')
}

async function inspected(flags: readonly string[], format: string): Promise<string> {
  const { stdout: id, stderr } = await place.mayfly(['create', ...flags, 'busybox'])
  expect(stderr).toBe('')
  const { stdout } = await place.mayfly(['inspect', '-f', format, id.trim()])
  await place.mayfly(['rm', id.trim()])
  return stdout.trim()
}

test('names, places, users and groups', async () => {
  expect(await inside(
    ['--hostname', 'host.test', '--domainname', 'nis.test', '-w', '/tmp', '-u', '33:44', '--group-add', '55', '-e', 'A=b c'],
    'hostname; cat /proc/sys/kernel/domainname; pwd; id -u; id -g; id -G; echo "$A"',
  )).toEqual(['host.test', 'nis.test', '/tmp', '33', '44', expect.stringMatching(/^44 .*55/), 'b c'])
  const file = join(place.directory, 'cid')
  expect(await inside(['-h', 'short', '--cidfile', file], 'hostname')).toEqual(['short'])
  expect(readFileSync(file, 'utf8')).toMatch(/^[0-9a-f]{64}$/)
  expect(await place.mayfly(['run', '--rm', '--cidfile', file, 'busybox', 'true'])).toMatchObject({ code: 125, stderr: expect.stringContaining('cid') as string })
})

test('the entry point, whole or none', async () => {
  expect(await place.mayfly(['run', '--rm', '--entrypoint', 'echo', 'busybox', 'one', 'two'])).toEqual({ code: 0, stdout: 'one two\n', stderr: '' })
  expect(await place.mayfly(['run', '--rm', '--entrypoint', '', 'busybox', 'echo', 'three'])).toEqual({ code: 0, stdout: 'three\n', stderr: '' })
})

test('rights: capabilities, no new ones, seccomp, everything', async () => {
  const effective = 'grep -E "CapEff|NoNewPrivs|Seccomp:" /proc/self/status'
  const facts = async (...flags: string[]): Promise<Record<string, string>> => Object.fromEntries((await inside(flags, effective)).map((line) => line.split(':\t')))
  const bit = (caps: string | undefined, number: number): boolean => ((BigInt(`0x${caps ?? '0'}`) >> BigInt(number)) & 1n) === 1n
  const [CHOWN, NET_ADMIN] = [0, 12]
  const plain = await facts()
  expect([bit(plain['CapEff'], CHOWN), bit(plain['CapEff'], NET_ADMIN), plain['NoNewPrivs'], plain['Seccomp']]).toEqual([true, false, '0', '2'])
  const own = await facts('--cap-add', 'NET_ADMIN', '--cap-drop', 'CHOWN', '--security-opt', 'no-new-privileges', '--security-opt', 'seccomp=unconfined', '--security-opt', 'apparmor=unconfined')
  expect([bit(own['CapEff'], CHOWN), bit(own['CapEff'], NET_ADMIN), own['NoNewPrivs'], own['Seccomp']]).toEqual([false, true, '1', '0'])
  const privileged = await facts('--privileged')
  expect([BigInt(`0x${privileged['CapEff'] ?? ''}`) > BigInt(`0x${plain['CapEff'] ?? ''}`), privileged['Seccomp']]).toEqual([true, '0'])
})

test.runIf(rootful)('limits, as the container sees them', async () => {
  const read = (v1: string, v2: string): string => `cat /sys/fs/cgroup/${v1} 2>/dev/null || cat /sys/fs/cgroup/${v2}`
  expect(await inside(
    ['-m', '64m', '--memory-swap', '128m', '--memory-reservation', '32m', '--cpu-period', '50000', '--cpu-quota', '25000', '--cpuset-cpus', '0', '--cpuset-mems', '0', '--pids-limit', '50',
      '--ulimit', 'nofile=100:200', '--ulimit', 'core=0', '--oom-score-adj', '500', '--shm-size', '1m'],
    [read('memory/memory.limit_in_bytes', 'memory.max'), read('memory/memory.soft_limit_in_bytes', 'memory.low'),
      'grep Cpus_allowed_list /proc/self/status | cut -f2', read('pids/pids.max', 'pids.max'),
      'ulimit -Sn; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj; df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2'].join('\n'),
  )).toEqual(['67108864', '33554432', '0', '50', '100', '200', '0', '500', '1024'])
  expect(await inspected(
    ['--memory-swap', '-1', '-m', '1g', '--cpus', '1.5', '--cpu-shares', '512', '--blkio-weight', '300', '--cpuset-mems', '0'],
    '{{with .HostConfig}}{{.MemorySwap}} {{.Memory}} {{.NanoCpus}} {{.CpuShares}} {{.BlkioWeight}} {{.CpusetMems}}{{end}}',
  )).toBe('-1 1073741824 1500000000 512 300 0')
  expect(await inside(['--cpus', '0.5', '-c', '512', '--blkio-weight', '0'], `${read('cpu/cpu.cfs_quota_us', 'cpu.max')} | cut -d" " -f1; ${read('cpu/cpu.shares', 'cpu.weight')}`)).toEqual(['50000', expect.stringMatching(/^(?:512|20)$/)])
})

test('files: read-only, memory, volumes, binds and mounts', async () => {
  const host = join(place.directory, 'host')
  mkdirSync(host)
  writeFileSync(join(host, 'file'), 'from the host\n')
  expect(await inside(
    ['--read-only', '--tmpfs', '/t:size=1m', '-v', `${host}:/bound:ro`, '-v', 'named:/named', '--mount', `type=bind,source=${host},target=/long,readonly`, '--mount', 'type=tmpfs,target=/m,tmpfs-size=2m'],
    'touch /x 2>/dev/null || echo ro; echo 1 > /t/f && df -k /t | tail -1 | tr -s " " | cut -d" " -f2; cat /bound/file; touch /bound/x 2>/dev/null || echo ro; echo kept > /named/f; cat /long/file; df -k /m | tail -1 | tr -s " " | cut -d" " -f2',
  )).toEqual(['ro', '1024', 'from the host', 'ro', 'from the host', '2048'])
  expect(await inside(['--volume', 'named:/n'], 'cat /n/f')).toEqual(['kept'])
  // -v makes a directory that is not there, --mount does not; a file is in the way of one.
  expect(await inside(['-v', `${join(host, 'new/deep')}:/d`], 'echo x > /d/f; cat /d/f')).toEqual(['x'])
  expect(readFileSync(join(host, 'new/deep/f'), 'utf8')).toBe('x\n')
  const refused = async (...words: string[]): Promise<unknown> => place.mayfly(['run', '--rm', ...words, 'busybox', 'true'])
  expect(await refused('--mount', `type=bind,source=${join(host, 'other')},target=/d`)).toMatchObject({ code: 125, stderr: expect.stringContaining('has no') as string })
  expect(await refused('-v', `${join(host, 'file/below')}:/d`)).toMatchObject({ code: 125, stderr: expect.stringContaining('cannot be made') as string })
})

test('the kernel: settings, devices, namespaces, a first process', async () => {
  expect(await inside(['--sysctl', 'net.ipv4.ip_unprivileged_port_start=80', '--init', '--device', '/dev/null:/dev/mine:rw'], 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start; [ -c /dev/mine ] && echo device; [ $$ != 1 ] && echo child'))
    .toEqual(['80', 'device', 'child'])
  expect(await inspected(['--ipc', 'host', '--pid', 'host', '--uts', 'private'], '{{.HostConfig.IpcMode}} {{.HostConfig.PidMode}} {{.HostConfig.UTSMode}}')).toBe('host host private')
  expect(await inside(['--ipc', 'host', '--uts', 'host'], 'hostname')).toEqual([expect.any(String)])
  expect(await place.mayfly(['run', '--rm', '--ipc', 'sideways', 'busybox'])).toMatchObject({ code: 125, stderr: expect.stringContaining('container:NAME') as string })
})

test('labels, variables and their files, the stop signal, the platform', async () => {
  const file = join(place.directory, 'labels')
  writeFileSync(file, 'from=file\nboth=file\n')
  expect(await inspected(['--label-file', file, '--label', 'both=flag', '-l', 'empty', '--stop-signal', 'SIGUSR1', '--platform', `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`, '--stop-timeout', '7', '--restart', 'on-failure:3', '--pull', 'missing'],
    '{{json .Config.Labels}} {{.Config.StopSignal}} {{.Config.StopTimeout}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}')).toBe('{"from":"file","both":"flag","empty":""} SIGUSR1 7 3')
  const variables = join(place.directory, 'variables')
  writeFileSync(variables, 'FROM=file\n')
  expect(await inside(['--env-file', variables, '--env', 'MORE=1'], 'echo $FROM $MORE')).toEqual(['file 1'])
  // Node has a flag of that name, and sets the variables here: they are meant for the container alone.
  writeFileSync(variables, 'MAYFLY_OUTBOUND=nonsense\nMAYFLY_SLOTS=nonsense\n')
  expect(await inside(['--env-file', variables], 'echo $MAYFLY_SLOTS')).toEqual(['nonsense'])
  expect(await place.mayfly(['run', '--rm', '--pull', 'never', 'nobody/has:this'])).toMatchObject({ code: 125, stderr: expect.stringContaining('ERR_MAYFLY_IMAGE_NOT_FOUND') as string })
  expect(await place.mayfly(['pull', '-q', '--platform', 'linux/s390x', 'busybox'])).toMatchObject({ code: 1, stderr: expect.stringContaining('s390x') as string })
  expect(await place.mayfly(['run', '--rm', '--pull', 'always', '-q', 'busybox', 'true'])).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(await place.mayfly(['run', '--rm', '--pull', 'often', 'busybox'])).toMatchObject({ code: 125, stderr: expect.stringContaining('always, missing, never') as string })
})

test('ports: published, exposed, all', async () => {
  const { stdout: id } = await place.mayfly(['run', '-d', '-P', '--expose', '81', 'busybox', 'sleep', '4000'])
  expect((await place.mayfly(['port', id.trim()])).stdout).toMatch(/^81\/tcp -> 127\.0\.0\.1:\d+\n$/)
  await place.mayfly(['rm', '-f', id.trim()])
})

describe('streams', () => {
  test('only those that are attached are passed on', async () => {
    const script = ['sh', '-c', 'echo out; echo err >&2']
    expect(await place.mayfly(['run', '--rm', '-a', 'stdout', 'busybox', ...script])).toEqual({ code: 0, stdout: 'out\n', stderr: '' })
    expect(await place.mayfly(['run', '--rm', '--attach', 'STDERR', 'busybox', ...script])).toEqual({ code: 0, stdout: '', stderr: 'err\n' })
    expect(await place.mayfly(['run', '--rm', '-a', 'stdlog', 'busybox', ...script])).toMatchObject({ code: 125 })
    expect(await place.mayfly(['run', '-d', '-a', 'stdout', 'busybox', ...script])).toMatchObject({ code: 125, stderr: expect.stringContaining('contradict') as string })
  })

  test('signals are passed on, or kept', async () => {
    const script = ['sh', '-c', 'trap "echo heard; exit 9" USR1; echo ready; while :; do sleep 0.05; done']
    const passed = place.spawn(['run', '--rm', 'busybox', ...script])
    let seen = ''
    for await (const chunk of passed.stdout) {
      seen += String(chunk)
      if (seen === 'ready\n') passed.kill('SIGUSR1')
    }
    expect(seen).toBe('ready\nheard\n')
    const kept = place.spawn(['run', '--rm', '--sig-proxy=false', 'busybox', ...script])
    const ended = new Promise((resolve) => void kept.once('exit', (_, signal) => { resolve(signal) }))
    for await (const chunk of kept.stdout) if (String(chunk).includes('ready')) kept.kill('SIGTERM')
    // It ended us, and what was ours with us.
    expect(await ended).toBe('SIGTERM')
    await expect.poll(async () => (await place.mayfly(['ps', '-q'])).stdout).toBe('')
  })
})

test('networks of several kinds, and names on them', async () => {
  await place.mayfly(['network', 'create', 'flags'])
  expect(await inside(['--network', 'flags', '--network-alias', 'me', '--dns', '192.0.2.53', '--dns-search', 'corp.test', '--dns-option', 'ndots:2', '--add-host', 'a:192.0.2.1'], 'grep 192.0.2.1 /etc/hosts; grep -c ndots /etc/resolv.conf'))
    .toEqual(['192.0.2.1\ta', '1'])
  const { stdout: other } = await place.mayfly(['run', '-d', '--name', 'net-owner', '--hostname', 'owner', 'busybox', 'sleep', '4000'])
  expect(other).not.toBe('')
  expect(await inside(['--network', 'container:net-owner', '--uts', 'container:net-owner'], 'hostname')).toEqual(['owner'])
  await place.mayfly(['rm', '-f', 'net-owner'])
  await place.mayfly(['network', 'rm', 'flags'])
})
