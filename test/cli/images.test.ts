import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startRegistry } from '../images/registry.mjs'
import { openPlace, program, type Place, rootful } from '../place.js'

let place: Place
let registry: Awaited<ReturnType<typeof startRegistry>>
let directory: string
let docker: string

beforeAll(async () => {
  place = await openPlace()
  directory = mkdtempSync(join(place.directory, 'images-'))
  docker = join(directory, 'docker')
  process.env['DOCKER_CONFIG'] = docker
  const storage = join(directory, 'storage')
  mkdirSync(storage)
  registry = await startRegistry({ storage, htpasswd: { user: 'me', password: 'pa:ss word' } })
  mkdirSync(join(directory, 'context'))
  writeFileSync(join(directory, 'context/Dockerfile'), 'FROM busybox\nARG WHO=nobody\nCOPY file /file\nRUN --mount=type=secret,id=key cat /run/secrets/key | md5sum > /sum; echo "for $WHO" >> /file\nCMD ["cat", "/file"]\n')
  writeFileSync(join(directory, 'context/file'), 'a file\n')
  writeFileSync(join(directory, 'key'), 'hush-hush-very-secret')
})
afterAll(async () => {
  delete process.env['DOCKER_CONFIG']
  await registry.close()
  await place.close()
})

test('build, run, and build again from the cache', async () => {
  const words = ['build', '-t', 'mine', '--build-arg', 'WHO=me', '--secret', `id=key,src=${join(directory, 'key')}`, '--iidfile', join(directory, 'id'), join(directory, 'context')]
  const first = await place.mayfly(words)
  expect(first).toMatchObject({ code: 0, stdout: '' })
  expect(first.stderr).toMatch(/#\d+ \[stage 0 2\/4\] COPY file \/file\n/)
  expect(first.stderr).toMatch(/built sha256:[0-9a-f]{64}\nnamed mine\n$/)
  expect(await place.mayfly(['run', '--rm', 'mine'])).toEqual({ code: 0, stdout: 'a file\nfor me\n', stderr: '' })
  const again = await place.mayfly(words)
  expect(again.stderr.match(/CACHED/g)).toHaveLength(2)
  const quiet = await place.mayfly(['build', '-q', ...words.slice(1)])
  expect(quiet).toEqual({ code: 0, stderr: '', stdout: `${readFileSync(join(directory, 'id'), 'utf8')}\n` })
  expect(`${first.stderr}${again.stderr}`).not.toContain('hush')
})

test('stages, files, labels, hosts and platforms of a build, in Docker\'s words', async () => {
  const context = join(directory, 'stages')
  mkdirSync(context)
  writeFileSync(join(context, 'other'), 'FROM busybox AS first\nRUN grep 192.0.2.9 /etc/hosts; df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2 > /shm; ulimit -n >> /shm\nFROM busybox\nRUN false\n')
  const platform = `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`
  const built = await place.mayfly(['image', 'build', '--file', join(context, 'other'), '--target', 'first', '--tag', 'staged', '--label', 'kind=test', '--add-host', 'far:192.0.2.9',
    '--shm-size', '1m', '--ulimit', 'nofile=64:64', '--network', 'none', '--no-cache', '--pull', '--platform', platform, context])
  expect(built).toMatchObject({ code: 0, stderr: expect.stringContaining('named staged') as string })
  expect((await place.mayfly(['run', '--rm', 'staged', 'cat', '/shm'])).stdout).toBe('1024\n64\n')
  expect((await place.mayfly(['inspect', '-f', '{{index .Config.Labels "kind"}}', 'staged'])).stdout).toBe('test\n')
})

test('limits of RUN, one stage anew, and an upload at the end', async () => {
  const dockerfile = join(directory, 'limits')
  writeFileSync(dockerfile, 'FROM busybox AS one\nRUN ulimit -n > /one; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max >> /one 2>/dev/null; true\nFROM busybox\nCOPY --from=one /one /\nCMD ["cat", "/one"]')
  const words = ['build', '--ulimit', 'nofile=123:456', ...(rootful ? ['-m', '64m', '--memory-swap', '64m', '--cpu-period', '50000', '--cpu-quota', '25000', '--cpu-shares', '512', '--cpuset-cpus', '0', '--cpuset-mems', '0'] : []), '-t', 'limited', '-f', dockerfile, join(directory, 'context')]
  expect(await place.mayfly(words)).toMatchObject({ code: 0 })
  expect((await place.mayfly(['run', '--rm', 'limited'])).stdout).toMatch(rootful ? /^123\n67108864\n$/ : /^123\n/)
  expect((await place.mayfly(words)).stderr.match(/CACHED/g)).toHaveLength(2)
  expect((await place.mayfly([...words, '--no-cache-filter', 'one'])).stderr).toMatch(/RUN ulimit[^\n]*\n(?:warning:[^\n]*\n)?#\d+ DONE/)
  expect((await place.mayfly(['build', '--ulimit', 'nofile', '-'])).stderr).toContain('Invalid limit "nofile"')
})

test('a Dockerfile, or a whole context, on standard input', async () => {
  expect(await piped('FROM busybox\nCMD ["echo", "from a pipe"]', 'build', '-q', '-t', 'piped', '-')).toMatchObject({ code: 0 })
  expect((await place.mayfly(['run', '--rm', 'piped'])).stdout).toBe('from a pipe\n')
  const context = execFileSync('tar', ['-cz', '-C', join(directory, 'context'), '.'])
  expect(place.piped(['build', '-q', '-t', 'piped-tar', '-'], context)).toMatchObject({ status: 0 })
  expect((await place.mayfly(['run', '--rm', 'piped-tar'])).stdout).toBe('a file\nfor nobody\n')
  expect(place.piped(['build', '-q', '-t', 'piped-file', '-f', '-', join(directory, 'context')], Buffer.from('FROM busybox\nCOPY file /other\nCMD ["cat", "/other"]'))).toMatchObject({ status: 0 })
  expect((await place.mayfly(['run', '--rm', 'piped-file'])).stdout).toBe('a file\n')
  expect((await place.mayfly(['build', '-f', '-', '-'])).stderr).toContain('cannot be both the context and the Dockerfile')
})

test('builder prune has the next build do its steps again, and leaves images as they are', async () => {
  const again = async (): Promise<string> => (await piped('FROM busybox\nRUN echo pruned > /pruned\nCMD ["cat", "/pruned"]', 'build', '-t', 'pruned', '-')).stderr
  expect(await again()).not.toContain('CACHED')
  // What earlier tests have left may go with it.
  expect(await place.mayfly(['builder', 'prune', '-f', '--filter', 'until=1h'])).toEqual({ code: 0, stdout: expect.stringMatching(/^Total reclaimed space: \S+\n$/) as string, stderr: '' })
  expect(await again()).toContain('CACHED')
  expect(await place.mayfly(['builder', 'prune'])).toMatchObject({ code: 1, stdout: expect.stringContaining('[y/N]') as string })
  expect(await place.mayfly(['builder', 'prune', '--filter', 'label=x', '-f'])).toMatchObject({ code: 1, stderr: expect.stringContaining('until=TIME') as string })
  expect(await place.mayfly(['builder', 'prune', '-a', '--force'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Total reclaimed space: /) as string })
  expect((await place.mayfly(['run', '--rm', 'pruned'])).stdout).toBe('pruned\n')
  expect(await again()).not.toContain('CACHED')
})

test('an error of a build is told at its line, with Docker\'s exit code', async () => {
  const { code, stderr } = await piped('FROM busybox\nRUNN true', 'build', '-')
  expect(code).toBe(1)
  expect(stderr).toContain('Dockerfile:2:1: unknown instruction RUNN\n  2 | RUNN true\n    | ^')
  expect(stderr).toContain('Did you mean RUN?')
  // A name that no image can have is told before anything is built.
  expect(await piped('FROM busybox\nRUN true', 'build', '-t', 'Upper', '-')).toEqual({ code: 1, stdout: '', stderr: expect.stringMatching(/^mayfly: Invalid image reference "Upper"/) as string })
})

test('a password is tried, kept for Docker\'s commands, and forgotten', async () => {
  const wrong = await piped('nothing', 'login', '-u', 'me', '--password-stdin', registry.host)
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('does not accept this user name and password') as string })
  expect(wrong.stderr).not.toContain('nothing')
  const right = await piped('pa:ss word\n', 'login', '-u', 'me', '--password-stdin', registry.host)
  expect(right).toMatchObject({ code: 0, stdout: 'Login Succeeded\n' })
  const file = join(docker, 'config.json')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ auths: { [registry.host]: { auth: Buffer.from('me:pa:ss word').toString('base64') } } })
})

test('tag, push, and pull elsewhere: the same digest', async () => {
  const name = `${registry.host}/team/mine:1`
  expect(await place.mayfly(['tag', 'mine', name])).toEqual({ code: 0, stdout: '', stderr: '' })
  const pushed = await place.mayfly(['push', name])
  expect(pushed).toMatchObject({ code: 0, stderr: '' })
  expect(pushed.stdout).toMatch(/^The push refers to repository \[127\.0\.0\.1:\d+\/team\/mine\]\n([0-9a-f]{12}: Pushed\n)+1: digest: sha256:[0-9a-f]{64}\n$/)
  const digest = /sha256:\w+/.exec(pushed.stdout)?.[0] ?? ''
  expect((await place.mayfly(['push', name])).stdout).toMatch(/(: Layer already exists\n)+1: digest/)
  const home = process.env['MAYFLY_HOME']
  process.env['MAYFLY_HOME'] = join(directory, 'elsewhere')
  try {
    expect((await place.mayfly(['pull', name])).stdout).toContain(digest)
    expect((await place.mayfly(['run', '--rm', name])).stdout).toBe('a file\nfor me\n')
    // What was pulled is pushed byte for byte, and layers that another repository has are not sent again.
    const other = `${registry.host}/other/copy:2`
    await place.mayfly(['tag', name, other])
    const copied = await place.mayfly(['push', other])
    expect(copied.stdout).toContain(`2: digest: ${digest}`)
    expect(copied.stdout).toMatch(/: Mounted\n/)
  } finally {
    process.env['MAYFLY_HOME'] = home
  }
})

test('a push that may not be, and one of what is not there', async () => {
  expect(await place.mayfly(['push', '-q', `${registry.host}/team/mine:1`])).toMatchObject({ code: 0, stdout: `${registry.host}/team/mine:1\n` })
  await place.mayfly(['logout', registry.host])
  const { code, stderr } = await place.mayfly(['push', `${registry.host}/team/mine:1`])
  expect(code).toBe(1)
  expect(stderr).toContain('ERR_MAYFLY_REGISTRY_UNAUTHORIZED')
  expect((await place.mayfly(['push', `${registry.host}/team/none`])).stderr).toContain('The store has no image')
  expect((await place.mayfly(['logout', registry.host])).stdout).toBe(`Not logged in to ${registry.host}\n`)
})

test('a credential helper keeps the password', async () => {
  mkdirSync(docker, { recursive: true })
  const kept = join(directory, 'kept')
  const helper = join(directory, 'docker-credential-test')
  writeFileSync(helper, `#!/bin/sh\ncase "$1" in\nstore) cat > ${kept};;\nget) [ -e ${kept} ] && sed 's/"ServerURL"[^,]*,//' ${kept} || { echo credentials not found in native keychain; exit 1; };;\nerase) rm -f ${kept};;\nesac\n`)
  chmodSync(helper, 0o755)
  writeFileSync(join(docker, 'config.json'), JSON.stringify({ credsStore: 'test' }))
  const path = process.env['PATH']
  process.env['PATH'] = `${directory}:${path ?? ''}`
  try {
    expect(await piped('pa:ss word', 'login', '-u', 'me', '--password-stdin', registry.host)).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(readFileSync(kept, 'utf8'))).toEqual({ ServerURL: registry.host, Username: 'me', Secret: 'pa:ss word' })
    expect(JSON.parse(readFileSync(join(docker, 'config.json'), 'utf8'))).toEqual({ credsStore: 'test', auths: { [registry.host]: {} } })
    expect((await place.mayfly(['push', `${registry.host}/team/mine:1`])).code).toBe(0)
    await place.mayfly(['logout', registry.host])
    expect((await place.mayfly(['push', `${registry.host}/team/mine:1`])).code).toBe(1)
  } finally {
    process.env['PATH'] = path
  }
})

test('a container\'s changes become an image', async () => {
  const { stdout: id } = await place.mayfly(['run', '-d', '-e', 'KEPT=yes', 'busybox', 'sh', '-c', 'echo changed > /new; rm /bin/vi; echo done; sleep 4000'])
  await settled(id.trim())
  const made = await place.mayfly(['commit', '-m', 'a message', '-a', 'somebody', '-c', 'CMD ["sh", "-c", "cat /new; echo $KEPT; ls /bin/vi"]', '-c', 'ENV MORE="a b"', id.trim(), 'changed:1'])
  expect(made).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^sha256:[0-9a-f]{64}\n$/) as string })
  const ran = await place.mayfly(['run', '--rm', 'changed:1'])
  expect(ran).toEqual({ code: 1, stdout: 'changed\nyes\n', stderr: 'ls: /bin/vi: No such file or directory\n' })
  await place.mayfly(['stop', '-t', '0', id.trim()])
  expect((await place.mayfly(['commit', 'nobody'])).stderr).toContain('ERR_MAYFLY_CONTAINER_NOT_FOUND')
})

/** Until its program has done what comes before its sleep. */
async function settled(id: string): Promise<void> {
  while (!(await place.mayfly(['logs', id])).stdout.includes('done'));
}

function piped(input: string, ...words: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, ...words], { stdio: ['pipe', 'pipe', 'pipe'] })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => { stdout += chunk.toString() })
    child.stderr.on('data', (chunk: Buffer) => { stderr += chunk.toString() })
    child.once('close', (code) => resolve({ code, stdout, stderr }))
    child.stdin.end(input)
  })
}
