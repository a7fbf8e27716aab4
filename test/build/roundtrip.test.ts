import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startRegistry } from '../images/registry.mjs'
import { openPlace, type Place } from '../place.js'
import { until } from '../runtime/bench.js'

let place: Place
let registry: Awaited<ReturnType<typeof startRegistry>>
/** An image of ours, in the registry. */
let ours: string
let digest: string

beforeAll(async () => {
  place = await openPlace()
  const storage = join(place.directory, 'storage')
  mkdirSync(storage)
  registry = await startRegistry({ storage })
  const context = join(place.directory, 'context')
  mkdirSync(context)
  // Hard links, a deletion, an opaque directory, a foreign owner and a set-uid bit: what layers can get wrong.
  writeFileSync(join(context, 'Dockerfile'), `FROM busybox
RUN mkdir -p /d/old /gone && echo a > /d/old/a && echo b > /gone/b && echo one > /one && chown 7:8 /one && chmod 4755 /one && ln /one /two
RUN rm -r /gone /d/old && mkdir /d/old && echo new > /d/old/c
COPY --chown=5 note /srv/
WORKDIR /srv
ENV GREETING="hello there"
ENTRYPOINT ["sh", "-c"]
CMD ["${REPORT}"]
`)
  writeFileSync(join(context, 'note'), 'a note\n')
  ours = `${registry.host}/made/here:1`
  await mayfly('build', '-q', '-t', ours, context)
  digest = /digest: (\S+)/.exec(await mayfly('push', ours))?.[1] ?? ''
})
afterAll(async () => {
  await registry.close()
  await place.close()
})

const REPORT = 'pwd; echo $GREETING; cat note; stat -c \'%n %u:%g %a %h\' /one /two /srv/note; ls /d/old; ls -d /gone || echo gone'
const EXPECTED = '/srv\nhello there\na note\n/one 7:8 4755 2\n/two 7:8 4755 2\n/srv/note 5:5 644 1\nc\ngone\n'

async function mayfly(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.mayfly(words)
  expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
  return stdout
}

/** Says why a test did nothing. */
function lacks(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' })
  } catch {
    process.stderr.write(`skipped: ${program} is not installed\n`)
    return true
  }
  if (process.geteuid?.() === 0) return false
  process.stderr.write(`skipped: without root ${program} is another program\n`)
  return true
}

function run(program: string, words: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  return execFileSync(program, words, { encoding: 'utf8', env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
}

test('pulled and pushed again an image has the digest it had', async () => {
  expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/)
  const other = `${registry.host}/made/again:2`
  await mayfly('rmi', '-f', ours)
  await mayfly('pull', '-q', ours)
  await mayfly('tag', ours, other)
  expect(await mayfly('push', other)).toContain(digest)
  expect(await mayfly('run', '--rm', other)).toBe(EXPECTED)
})

test('commit, tag, push, save and load', async () => {
  const id = (await mayfly('run', '-d', '--rm', '--entrypoint', 'sh', ours, '-c', 'echo changed > /srv/note; echo ready; exec sleep 1000')).trim()
  await expect.poll(async () => await mayfly('logs', id)).toContain('ready')
  const name = `${registry.host}/made/committed:1`
  await mayfly('commit', '-m', 'a change', '-c', 'ENTRYPOINT ["cat"]', '-c', 'CMD ["/srv/note"]', id, name)
  await mayfly('stop', '-t', '0', id)
  const pushed = /digest: (\S+)/.exec(await mayfly('push', name))?.[1]
  const file = join(place.directory, 'saved.tar')
  await mayfly('save', '-o', file, name)
  await mayfly('rmi', '-f', name)
  await mayfly('load', '-i', file)
  expect(await mayfly('run', '--rm', name)).toBe('changed\n')
  expect(await mayfly('push', name)).toContain(pushed ?? 'no digest')
})

test('skopeo and umoci take it as they find it', () => {
  if (lacks('skopeo')) return
  const raw = execFileSync('skopeo', ['inspect', '--tls-verify=false', '--raw', `docker://${ours}`])
  expect(`sha256:${createHash('sha256').update(raw).digest('hex')}`).toBe(digest)
  const layout = join(place.directory, 'layout')
  run('skopeo', ['copy', '-q', '--src-tls-verify=false', `docker://${ours}`, `oci:${layout}:one`])
  if (lacks('umoci')) return
  const bundle = join(place.directory, 'bundle')
  run('umoci', ['unpack', '--image', `${layout}:one`, bundle])
  expect(run('sh', ['-c', 'cd "$0" && stat -c "%n %u:%g %a %h" one two srv/note && ls d/old && ls', join(bundle, 'rootfs')]))
    .toMatch(/^one 7:8 4755 2\ntwo 7:8 4755 2\nsrv\/note 5:5 644 1\nc\n(?!.*gone)/s)
})

test('what skopeo copies in runs here, with its digest', async () => {
  if (lacks('skopeo')) return
  const other = `${registry.host}/made/copied:1`
  run('skopeo', ['copy', '-q', '--src-tls-verify=false', '--dest-tls-verify=false', '--format', 'v2s2', `docker://${ours}`, `docker://${other}`])
  expect(await mayfly('run', '--rm', other)).toBe(EXPECTED)
  const archive = join(place.directory, 'skopeo.tar')
  run('skopeo', ['copy', '-q', '--src-tls-verify=false', `docker://${ours}`, `docker-archive:${archive}:from/skopeo:1`])
  expect(await mayfly('load', '-i', archive)).toContain('from/skopeo:1')
  expect(await mayfly('run', '--rm', 'from/skopeo:1')).toBe(EXPECTED)
})

/** A Dockerfile for the others' builders, on an image of ours. */
function theirs(name: string): string {
  const context = join(place.directory, name)
  mkdirSync(context)
  writeFileSync(join(context, 'Dockerfile'), `FROM ${ours}\nCOPY other /srv/\nRUN rm -r /d && echo ${name} > /srv/by\nCMD ["cat /srv/by /srv/other; ls -d /d || echo no d"]\n`)
  writeFileSync(join(context, 'other'), 'another\n')
  return context
}

test('podman runs it, and what podman builds runs here', async () => {
  if (lacks('podman')) return
  // What podman shares among all its processes, unless it was there before.
  const locks = '/dev/shm/libpod_lock'
  if (!existsSync(locks)) onTestFinished(() => rmSync(locks, { force: true }))
  const at = ['--root', join(place.directory, 'podman'), '--runroot', join(place.directory, 'podman-run'), '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs',
    // crun, its first choice where it is installed, refuses the hybrid layout of cgroups.
    ...(['/usr/bin/runc', '/usr/sbin/runc'].some((path) => existsSync(path)) ? ['--runtime', 'runc'] : [])]
  const podman = (...words: string[]): string => run('podman', [...at, ...words], { TMPDIR: place.directory })
  podman('pull', '-q', '--tls-verify=false', ours)
  expect(podman('inspect', '--format', '{{.Digest}}', ours).trim()).toBe(digest)
  const alone = ['--rm', '--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=4096:4096']
  expect(podman('run', ...alone, ours)).toBe(EXPECTED)
  const archive = join(place.directory, 'for-podman.tar')
  await mayfly('save', '-o', archive, ours)
  expect(podman('load', '-q', '-i', archive)).toContain('made/here:1')
  const name = `${registry.host}/made/by-podman:1`
  podman('build', '-q', '--isolation', 'chroot', '--pull-never', '-t', name, theirs('by-podman'))
  podman('push', '-q', '--tls-verify=false', name)
  expect(await mayfly('run', '--rm', name)).toBe('by-podman\nanother\nno d\n')
  run('podman', [...at, 'rmi', '-a', '-f'])
})

test('docker runs it, and what docker builds runs here', async () => {
  if (lacks('dockerd') || lacks('docker')) return
  const daemon = await startDocker()
  try {
    const docker = (...words: string[]): string => run('docker', words, { DOCKER_HOST: daemon.host, DOCKER_BUILDKIT: '0', DOCKER_CONFIG: place.directory })
    docker('pull', '-q', ours)
    expect(docker('inspect', '--format', '{{index .RepoDigests 0}}', ours).trim()).toBe(`${ours.replace(/:1$/, '')}@${digest}`)
    expect(docker('run', '--rm', '--network', 'none', ours)).toBe(EXPECTED)
    const archive = join(place.directory, 'for-docker.tar')
    await mayfly('save', '-o', archive, ours)
    expect(docker('load', '-q', '-i', archive)).toContain(ours)
    const name = `${registry.host}/made/by-docker:1`
    docker('build', '-q', '--network', 'none', '-t', name, theirs('by-docker'))
    docker('push', '-q', name)
    expect(await mayfly('run', '--rm', name)).toBe('by-docker\nanother\nno d\n')
    const saved = join(place.directory, 'from-docker.tar')
    docker('tag', name, 'from/docker:1')
    docker('save', '-o', saved, 'from/docker:1')
    await mayfly('load', '-q', '-i', saved)
    expect(await mayfly('run', '--rm', 'from/docker:1')).toBe('by-docker\nanother\nno d\n')
  } finally {
    await daemon.close()
  }
})

/** A daemon of the test's own, which touches neither bridges nor firewalls. */
async function startDocker(): Promise<{ readonly host: string; close(): Promise<void> }> {
  const directory = join(place.directory, 'dockerd')
  mkdirSync(directory)
  const host = `unix://${join(directory, 'sock')}`
  const log = join(directory, 'log')
  const child: ChildProcess = spawn('sh', ['-c', 'exec dockerd "$@" > "$0" 2>&1', log, '--data-root', join(directory, 'data'), '--exec-root', join(directory, 'exec'),
    '--pidfile', join(directory, 'pid'), '-H', host, '--bridge=none', '--iptables=false', '--ip6tables=false', '--storage-driver=overlay2'], { stdio: 'ignore' })
  const gone = new Promise<void>((resolve) => { child.once('close', () => resolve()) })
  let ended = false
  void gone.then(() => { ended = true })
  await until(() => {
    if (ended) throw new Error(`dockerd did not start:\n${readFileSync(log, 'utf8').slice(-2000)}`)
    try {
      run('docker', ['version'], { DOCKER_HOST: host })
      return true
    } catch {
      return false
    }
  })
  return {
    host,
    close: async () => {
      child.kill('SIGTERM')
      await gone
    },
  }
}
