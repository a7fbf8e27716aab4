import { readFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nothingLeft, openPlace, type Place, rootful } from '../place.js'

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(async () => {
  await place.mayfly(['prune', '-f'])
  await place.close()
})

/** What it prints, once it has succeeded. */
async function mayfly(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.mayfly(words)
  if (code !== 0 || stderr !== '') throw new Error(`${words.join(' ')}: ${code} ${stderr}`)
  return stdout.trim()
}

async function state(name: string): Promise<string> {
  return mayfly('ps', '-a', '--filter', `name=^${name}$`, '--format', '{{.Status}}')
}

describe('a container that ended', () => {
  test('stays with its log, files and exit code, is started again, committed, renamed, and gone with rm', async () => {
    const first = await place.mayfly(['run', '--name', 'one', '-e', 'KEPT=yes', 'busybox', 'sh', '-c', 'echo out; echo err >&2; echo x >> /new; rm -f /bin/vi; exit 3'])
    expect(first).toEqual({ code: 3, stdout: 'out\n', stderr: 'err\n' })
    expect(await mayfly('ps', '-q')).toBe('')
    expect(await state('one')).toMatch(/^Exited \(3\) .* ago$/)
    expect(await mayfly('wait', 'one')).toBe('3')
    expect(await mayfly('diff', 'one')).toBe('C /bin\nD /bin/vi\nA /new')
    expect(await place.mayfly(['exec', 'one', 'true'])).toMatchObject({ code: 1, stderr: expect.stringContaining('mayfly start one') as string })
    expect(await place.mayfly(['start', '-a', 'one'])).toMatchObject({ code: 3, stdout: 'out\n' })
    expect(await place.mayfly(['logs', 'one'])).toEqual({ code: 0, stdout: 'out\nout\n', stderr: 'err\nerr\n' })
    const last = await place.mayfly(['logs', '--tail', '1', '-t', 'one'])
    expect(last.stdout + last.stderr).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z (?:out|err)\n$/)
    await mayfly('commit', '--pause=false', '-a', 'somebody', '-m', 'later', '-c', 'CMD ["sh", "-c", "cat /new; echo $KEPT"]', 'one', 'kept:1')
    expect(await mayfly('run', '--rm', 'kept:1')).toBe('x\nx\nyes')
    expect(await mayfly('rename', 'one', 'other')).toBe('')
    expect(await place.mayfly(['rm', 'one'])).toMatchObject({ code: 1, stderr: expect.stringContaining('No such container: one') as string })
    expect(await mayfly('rm', 'other')).toBe('other')
    expect(await mayfly('ps', '-a', '-q')).toBe('')
    expect(existsSync(join(place.directory, 'home/containers'))).toBe(true)
    await nothingLeft()
  })

  test('with --rm nothing of it stays, wherever it ran', async () => {
    expect((await place.mayfly(['run', '--rm', 'busybox', 'sh', '-c', 'exit 4'])).code).toBe(4)
    await mayfly('network', 'create', 'short')
    expect((await place.mayfly(['run', '--rm', '--network', 'short', 'busybox', 'sh', '-c', 'exit 5'])).code).toBe(5)
    await mayfly('run', '-d', '--rm', '--name', 'gone', 'busybox', 'true')
    await expect.poll(() => mayfly('ps', '-a', '-q')).toBe('')
    await mayfly('network', 'rm', 'short')
    expect(await place.mayfly(['run', '--rm', '--restart', 'always', 'busybox'])).toMatchObject({ code: 125, stderr: expect.stringContaining('contradict') as string })
  })

  test('keeps its image and its name', async () => {
    await mayfly('create', '--name', 'holder', 'busybox', 'true')
    expect(await place.mayfly(['create', '--name', 'holder', 'busybox'])).toMatchObject({ code: 125, stderr: expect.stringContaining('mayfly rm holder') as string })
    expect(await place.mayfly(['rmi', 'busybox'])).toMatchObject({ code: 1, stderr: expect.stringContaining('holder') as string })
    await mayfly('rmi', '-f', 'busybox')
    await mayfly('image', 'prune', '-a', '-f')
    expect(await mayfly('start', '-a', 'holder')).toBe('')
    expect(await state('holder')).toMatch(/^Exited \(0\)/)
    await mayfly('rm', 'holder')
    await mayfly('pull', '-q', 'busybox')
  })
})

describe('create, start, stop, restart, kill, pause', () => {
  test('with Docker\'s states between', async () => {
    const id = await mayfly('create', '--name', 'life', '--cidfile', join(place.directory, 'cid'), '--stop-timeout', '0', 'busybox', 'sh', '-c', 'echo begun; sleep 4000')
    expect(readFileSync(join(place.directory, 'cid'), 'utf8')).toBe(id)
    expect(await state('life')).toBe('Created')
    expect(await mayfly('start', 'life')).toBe('life')
    expect(await state('life')).toMatch(/^Up /)
    expect(await mayfly('start', 'life')).toBe('life')
    if (rootful) {
      await mayfly('pause', 'life')
      expect(await state('life')).toMatch(/^Up .* \(Paused\)$/)
      expect(await place.mayfly(['pause', 'life'])).toMatchObject({ code: 1, stderr: expect.stringContaining('already paused') as string })
      await mayfly('unpause', 'life')
      expect(await place.mayfly(['unpause', 'life'])).toMatchObject({ code: 1 })
    } else expect(await place.mayfly(['pause', 'life'])).toMatchObject({ code: 1, stderr: expect.stringContaining('ERR_MAYFLY_LIMIT_UNSUPPORTED') as string })
    expect(await place.mayfly(['rm', 'life'])).toMatchObject({ code: 1, stderr: expect.stringContaining('ERR_MAYFLY_CONTAINER_RUNNING') as string })
    const waiting = mayfly('wait', 'life')
    // The seconds of --stop-timeout, none, and those of -t.
    await mayfly('stop', 'life')
    expect(await waiting).toBe('137')
    expect(await state('life')).toMatch(/^Exited \(137\)/)
    await mayfly('restart', '-t', '0', 'life')
    await mayfly('restart', '-t', '0', 'life')
    expect((await mayfly('logs', 'life')).split('\n')).toEqual(['begun', 'begun', 'begun'])
    expect(await mayfly('kill', '-s', 'SIGKILL', 'life')).toBe('life')
    await expect.poll(() => state('life')).toMatch(/^Exited \(137\)/)
    expect(await place.mayfly(['kill', 'life'])).toMatchObject({ code: 1, stderr: expect.stringContaining('not running') as string })
    expect(await mayfly('rm', 'life')).toBe('life')
  })

  test('wait and logs tell of one that ended while it was looked for', async () => {
    const stopped = (before: number): NodeJS.ProcessEnv => ({
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(`
        import net from 'node:net'
        import { spawnSync } from 'node:child_process'
        let connections = 0
        const connect = net.Socket.prototype.connect
        net.Socket.prototype.connect = function (...words) {
          if (++connections === ${before}) spawnSync(process.execPath, [process.argv[1], 'stop', '-t', '0', 'brief'], { env: { ...process.env, NODE_OPTIONS: '' } })
          return connect.apply(this, words)
        }`)}`,
    })
    // Their run is there still.
    await mayfly('run', '-d', '--name', 'lasting', 'busybox', 'sleep', '4000')
    await mayfly('create', '--name', 'brief', 'busybox', 'sh', '-c', 'echo said; sleep 4000')
    // The first connection finds it; wait looks once more with the second.
    for (const [command, before, answer] of [['wait', 2, '137\n'], ['wait', 3, '137\n'], ['logs', 2, 'said\nsaid\nsaid\n']] as const) {
      await mayfly('start', 'brief')
      await expect.poll(() => mayfly('logs', '--tail', '1', 'brief')).toBe('said')
      expect(await place.mayfly([command, 'brief'], stopped(before)), `${command}, before connection ${before}`).toEqual({ code: 0, stdout: answer, stderr: '' })
      expect(await state('brief')).toMatch(/^Exited \(137\)/)
    }
    await mayfly('rm', '-f', 'brief', 'lasting')
  })

  // An ordinary user's containers have no freezer.
  test.runIf(rootful)('nothing is begun in one that is paused', async () => {
    await mayfly('run', '-d', '--name', 'still', 'busybox', 'sleep', '1000')
    const pid = await mayfly('inspect', '-f', '{{.State.Pid}}', 'still')
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toBe('sleep\u00001000\u0000')
    await mayfly('pause', 'still')
    for (const words of [['exec', 'still', 'true'], ['exec', '-d', 'still', 'true'], ['attach', 'still']]) {
      expect(await place.mayfly(words)).toMatchObject({ code: 1, stderr: expect.stringContaining('Container still is paused') as string })
    }
    await mayfly('kill', 'still')
    expect(await mayfly('inspect', '-f', '{{.State.Pid}}', 'still')).toBe('0')
    await mayfly('rm', 'still')
  })

  test('a start that fails is told as by run, and the container stays as it was made', async () => {
    expect(await place.mayfly(['run', '-d', '--name', 'wrong', 'busybox', 'no-such-thing'])).toMatchObject({ code: 127, stdout: '' })
    expect(await state('wrong')).toBe('Created')
    expect(await mayfly('inspect', '-f', '{{.State.ExitCode}}', 'wrong')).toBe('127')
    await mayfly('rm', 'wrong')
  })

  test.runIf(rootful)('update changes limits, while it runs and for its later lives', async () => {
    await mayfly('run', '-d', '--name', 'limited', '-m', '64m', 'busybox', 'sleep', '4000')
    const limit = () => mayfly('exec', 'limited', 'sh', '-c', 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max')
    expect(await mayfly('update', '-m', '96m', '--cpus', '0.5', 'limited')).toBe('limited')
    expect(await limit()).toBe(String(96 << 20))
    expect(await mayfly('inspect', '-f', '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}', 'limited')).toBe(`${96 << 20} 500000000`)
    await mayfly('stop', '-t', '0', 'limited')
    await mayfly('update', '-m', '80m', 'limited')
    await mayfly('start', 'limited')
    expect(await limit()).toBe(String(80 << 20))
    await mayfly('update', '--cpu-period', '50000', '--cpu-quota', '25000', '--cpu-shares', '512', '--cpuset-cpus', '0', '--cpuset-mems', '0', '--blkio-weight', '0', '--memory-reservation', '20m', '--memory-swap', '80m', '--pids-limit', '50', 'limited')
    expect(await mayfly('exec', 'limited', 'sh', '-c', 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; grep Cpus_allowed_list /proc/1/status; true')).toMatch(/^25000(?: 50000)?\n50\nCpus_allowed_list:\t0$/)
    expect(await place.mayfly(['update', 'limited'])).toMatchObject({ code: 1, stderr: expect.stringContaining('--memory 256m') as string })
    expect(await place.mayfly(['update', '-m', '1k', '--memory-reservation', '2k', 'limited'])).toMatchObject({ code: 1, stderr: expect.stringContaining('contradict') as string })
    await mayfly('rm', '-f', 'limited')
  })

  test('rm -f kills what runs, and says of what is not there that it is not', async () => {
    await mayfly('run', '-d', '--name', 'forced', 'busybox', 'sleep', '4000')
    expect(await place.mayfly(['rm', '-f', 'nobody', 'forced'])).toMatchObject({ code: 0, stdout: 'forced\n', stderr: expect.stringContaining('No such container: nobody') as string })
  })
})

describe('restart policies', () => {
  test('on-failure:N starts it again so often, and no more', async () => {
    await mayfly('run', '-d', '--name', 'failing', '--restart', 'on-failure:2', 'busybox', 'sh', '-c', 'echo try; exit 6')
    await expect.poll(() => mayfly('inspect', '-f', '{{.RestartCount}} {{.State.Status}}', 'failing'), { timeout: 10_000 }).toBe('2 exited')
    expect((await mayfly('logs', 'failing')).split('\n')).toEqual(['try', 'try', 'try'])
    await mayfly('rm', 'failing')
    await mayfly('run', '-d', '--name', 'fine', '--restart', 'on-failure', 'busybox', 'true')
    await expect.poll(() => state('fine')).toMatch(/^Exited \(0\)/)
    await mayfly('rm', 'fine')
  })

  test('always starts it again until somebody stops it; update changes its mind', async () => {
    await mayfly('run', '-d', '--name', 'again', '--restart', 'always', 'busybox', 'sh', '-c', 'exit 0')
    await expect.poll(async () => Number(await mayfly('inspect', '-f', '{{.RestartCount}}', 'again')), { timeout: 10_000 }).toBeGreaterThan(1)
    await mayfly('stop', 'again')
    expect(await state('again')).toMatch(/^Exited \(0\)/)
    await mayfly('update', '--restart', 'no', 'again')
    expect(await mayfly('inspect', '-f', '{{.HostConfig.RestartPolicy.Name}}', 'again')).toBe('no')
    await mayfly('rm', 'again')
  })

  test('go on without the command that began them; what its keeper\'s death ended is told as killed', async () => {
    await mayfly('run', '-d', '--name', 'orphan', '--restart', 'unless-stopped', 'busybox', 'sh', '-c', 'echo here; sleep 4000')
    const keeper = Number((await mayfly('ps', '--filter', 'name=orphan', '--format', '{{.Owner}}')).split(' ')[0])
    process.kill(keeper, 'SIGKILL')
    await expect.poll(() => state('orphan')).toMatch(/^Exited \(137\)/)
    await mayfly('start', 'orphan')
    expect(await state('orphan')).toMatch(/^Up/)
    await mayfly('rm', '-f', 'orphan')
    await nothingLeft()
  })
})

test('container prune asks, and takes those that fit', async () => {
  await mayfly('create', '--name', 'p1', '-l', 'keep=1', 'busybox')
  await mayfly('create', '--name', 'p2', 'busybox')
  expect(await place.mayfly(['container', 'prune'])).toMatchObject({ code: 1, stdout: expect.stringContaining('all stopped containers') as string })
  expect(await mayfly('container', 'prune', '-f', '--filter', 'label!=keep')).toMatch(/^Deleted Containers:\n[0-9a-f]{64}\n\nTotal reclaimed space: /)
  expect(await mayfly('ps', '-a', '--format', '{{.Names}}')).toBe('p1')
  expect(await mayfly('container', 'prune', '-f', '--filter', 'until=1h')).toMatch(/^Total reclaimed space: 0B$/)
  const { stdout: volume } = await place.mayfly(['volume', 'create'])
  expect(await mayfly('system', 'prune', '-f', '--volumes')).toMatch(new RegExp(`Deleted Containers:[^]*Deleted Volumes:\n${volume}`))
  expect(await mayfly('system', 'df', '--format', '{{.Type}} {{.TotalCount}}')).toContain('Containers 0')
  expect(await mayfly('ps', '-a', '-q')).toBe('')
})

test('volumes of another container, those of its own aside', async () => {
  await mayfly('create', '--name', 'giver', '-v', 'shared:/data', 'busybox')
  expect(await mayfly('run', '--rm', '--volumes-from', 'giver', 'busybox', 'sh', '-c', 'echo x > /data/f; cat /data/f')).toBe('x')
  expect(await place.mayfly(['run', '--rm', '--volumes-from', 'giver:ro', 'busybox', 'touch', '/data/g'])).toMatchObject({ code: 1 })
  expect(await mayfly('ps', '-a', '--filter', 'volume=shared', '--format', '{{.Names}} {{.Mounts}}')).toBe('giver shared')
  expect(await place.mayfly(['volume', 'rm', 'shared'])).toMatchObject({ code: 1 })
  await mayfly('rm', 'giver')
  await mayfly('volume', 'rm', 'shared')
})
