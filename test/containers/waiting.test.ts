// When a container counts as ready: every strategy, with what a test sees when it does not come true.
import { createServer as createSecureServer } from 'node:https'
import { createServer, type AddressInfo } from 'node:net'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { build } from '../../packages/core/src/build/index.js'
import { endRun, run, wait } from '../../packages/core/src/container/index.js'
import type { MayflyError } from '../../packages/core/src/errors.js'
import { execute } from '../place.js'
import { useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)

const failure = (start: Promise<unknown>): Promise<MayflyError> => start.then(() => { throw new Error('it started') }, (error: unknown) => error as MayflyError)

test('ports: all that are named', async () => {
  await using container = await run('busybox', { command: 'httpd -p 80; sleep 0.1; httpd -p 81; sleep 1000', ready: wait.port(80, 81) })
  expect((await container.exec(['wget', '-qO-', 'http://127.0.0.1:81/etc/hostname'])).stderr).not.toContain('refused')
})

test('log lines: text, patterns, several times, from either stream', async () => {
  const command = 'echo one; sleep 0.05; echo "two 1" >&2; sleep 0.05; echo "two 2"; sleep 1000'
  await using container = await run('busybox', { command, ready: wait.all(wait.log('one'), wait.log(/^two \d$/, { times: 2 })) })
  expect(container.name).toBeTruthy()
  const error = await failure(run('busybox', { command, ready: wait.log(/two/, { times: 3 }), startTimeout: 300 }))
  expect(error).toMatchObject({ code: 'ERR_MAYFLY_TIMEOUT', details: { seen: 'it came 2 of 3 times' } })
  expect(error.message).toContain('waiting for log line /two/, 3 times, and last seeing it came 2 of 3 times')
})

test('http: status, body, headers, authorization, method', async () => {
  const serve = 'while :; do printf "HTTP/1.1 201 Created\\r\\nX-State: warm\\r\\nContent-Length: 5\\r\\n\\r\\nready" | nc -l -p 80 >>/tmp/asked; done'
  const options = { command: serve, ports: [80] }
  await using container = await run('busybox', {
    ...options,
    ready: wait.http('/health', { port: 80, status: [200, 201], body: /^ready$/, answer: { 'x-state': 'warm' }, headers: { 'x-asked': 'yes' }, auth: { user: 'me', password: 'pw' }, method: 'POST', send: '{}' }),
  })
  const { stdout } = await container.exec(['cat', '/tmp/asked'])
  expect(stdout).toContain('POST /health HTTP/1.1')
  expect(stdout.toLowerCase()).toContain('x-asked: yes')
  expect(stdout).toContain(`Basic ${Buffer.from('me:pw').toString('base64')}`)
  for (const [wanted, seen] of [[{ status: 200 }, 'status 201'], [{ body: 'other' }, 'status 201 with the body "ready"'], [{ answer: { 'X-State': /cold/ } }, 'status 201 with header X-State: warm']] as const) {
    expect((await failure(run('busybox', { ...options, ready: wait.http('/', { port: 80, ...wanted }).within(400) }))).message).toContain(`and last seeing ${seen}`)
  }
})

test.runIf(process.geteuid?.() === 0)('http by TLS: whoever answers, or only whom an authority vouches for', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-tls-'))
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', 'key.pem', '-out', 'cert.pem', '-days', '2', '-subj', '/CN=service.test', '-addext', 'subjectAltName=DNS:service.test'], { cwd: directory, stdio: 'ignore' })
  const [key, ca] = ['key.pem', 'cert.pem'].map((name) => readFileSync(join(directory, name), 'utf8'))
  rmSync(directory, { recursive: true })
  const server = createSecureServer({ key, cert: ca }, (_request, response) => { response.end('secure') })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  try {
    // The container's port leads to a server with a certificate: in the host's network namespace both are the same.
    const { port } = server.address() as AddressInfo
    const options = { command: ['sleep', '1000'], network: 'host', ports: [port] } as const
    await using any = await run('busybox', { ...options, ready: wait.http('/', { port, tls: { insecure: true }, body: 'secure' }) })
    await using known = await run('busybox', { ...options, ready: wait.http('/', { port, tls: { ca: ca ?? '', servername: 'service.test' } }) })
    expect(known.id).not.toBe(any.id)
    expect((await failure(run('busybox', { ...options, ready: wait.http('/', { port, tls: true }), startTimeout: 300 }))).message).toMatch(/waiting for https \/, and last seeing no answer: .*certificate/)
  } finally {
    server.close()
  }
})

test('a command: words, or text for a shell, and what it printed last', async () => {
  await using container = await run('busybox', { command: 'sleep 0.05; touch /tmp/there; sleep 1000', ready: wait.all(wait.exec(['test', '-e', '/tmp/there']), wait.exec('test -e /tmp/there && true')) })
  expect(container.id).toHaveLength(64)
  const error = await failure(run('busybox', { command: ['sleep', '1000'], ready: wait.exec('echo not yet; exit 3'), startTimeout: 300 }))
  expect(error.message).toContain('waiting for command echo not yet; exit 3, and last seeing exit code 3, "not yet"')
})

test('the end: with 0 or another status', async () => {
  await using done = await run('busybox', { command: ['true'], ready: wait.completed() })
  expect(await done.exit).toMatchObject({ code: 0 })
  await using three = await run('busybox', { command: 'exit 3', ready: wait.exit(3) })
  expect(await three.exit).toMatchObject({ code: 3 })
  expect(await failure(run('busybox', { command: 'exit 4', ready: wait.completed() }))).toMatchObject({ code: 'ERR_MAYFLY_CONTAINER_EXITED', details: { exitCode: 4 } })
})

test('a file, a directory, what a link leads to', async () => {
  await using container = await run('busybox', { command: 'sleep 0.05; mkdir -p /data/deep; echo x > /data/deep/file; ln -s deep/file /data/link; sleep 1000', ready: wait.all(wait.file('/data'), wait.file('/data/deep/file'), wait.file('/data/link')) })
  expect((await container.exec(['cat', '/data/link'])).stdout).toBe('x\n')
  // Where no program is left that could look.
  await using bare = await run('busybox', { command: 'mkfifo /f; mkdir /data; (> /data/here) & rm -rf /usr /bin; read x < /f', ready: wait.all(wait.file('/data/here'), wait.custom(async ({ exists }) => !await exists('/bin'))) })
  expect((await bare.exec(['ls'])).exitCode).toBe(127)
  for (const path of ['/data/none', '/data/deep/file/below', '/etc/passwd/x']) {
    expect(await failure(run('busybox', { command: 'mkdir -p /data/deep; echo x > /data/deep/file; sleep 1000', ready: wait.file(path).within(100) }))).toMatchObject({ code: 'ERR_MAYFLY_TIMEOUT' })
  }
})

test('a unix socket that is listened at', async () => {
  const listen = 'use IO::Socket::UNIX; select(undef, undef, undef, 0.05); my $l = IO::Socket::UNIX->new(Local => "/run/app.sock", Listen => 5) or die $!; sleep 1000'
  await using container = await run('debian', { command: ['perl', '-e', listen], ready: wait.socket('/var/run/app.sock') })
  expect(await container.socket('/run/app.sock')).toMatch(/app\.sock$/)
  expect((await failure(run('debian', { command: ['perl', '-e', listen], ready: wait.socket('/run/other.sock'), startTimeout: 500 }))).message).toContain('last seeing sockets /run/app.sock')
})

test('what wait-on knows, seen from the test', async () => {
  await using container = await run('busybox', {
    command: 'sleep 0.1; httpd -f -p 80', ports: [80], ready: wait.on((one) => [`tcp:${one.host}:${one.port(80)}`]).within(10_000),
  })
  expect(container.ports).toContain(80)
  const server = createServer()
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await using other = await run('busybox', { command: ['sleep', '1000'], ready: wait.on([`tcp:127.0.0.1:${port}`]) })
  server.close()
  expect(other.id).toHaveLength(64)
  const error = await failure(run('busybox', { command: ['sleep', '1000'], ready: wait.on([`tcp:127.0.0.1:${port}`]), startTimeout: 500 }))
  expect(error).toMatchObject({ code: 'ERR_MAYFLY_TIMEOUT' })
}, 30_000)

test('what only wait-on needs is loaded when it is waited for, and not before', async () => {
  const program = `
    import Module from 'node:module'
    import { run, wait } from '@mayfly/core'
    const loaded = () => Object.keys(Module._cache).some((path) => path.includes('/node_modules/wait-on/'))
    const one = await run('busybox', { command: 'httpd -f -p 80', ports: [80], ready: wait.all(wait.port(80), wait.http('/', { status: 404 })) })
    const before = loaded()
    const two = await run('busybox', { command: 'httpd -f -p 80', ports: [80], ready: wait.on((it) => ['tcp:' + it.host + ':' + it.port(80)]) })
    console.log(before, loaded())
    process.exit(0)
  `
  expect(await execute(process.execPath, ['--input-type=module', '-e', program], process.env)).toMatchObject({ code: 0, stdout: 'false true\n', stderr: '' })
})

test('a function of one\'s own, called until it answers true', async () => {
  let asked = 0
  await using container = await run('busybox', { command: ['sleep', '1000'], ready: wait.custom(() => ++asked > 3, 'the fourth question') })
  expect([asked, container.id.length]).toEqual([4, 64])
  const error = await failure(run('busybox', { command: ['sleep', '1000'], ready: wait.custom(() => { throw new Error('no luck') }, 'luck'), startTimeout: 100 }))
  expect(error.message).toContain('waiting for luck, and last seeing no luck')
})

test('all and any, in each other, each with a limit of its own', async () => {
  const command = 'echo up; sleep 1000'
  await using container = await run('busybox', { command, ready: wait.any(wait.port(80), wait.all(wait.log('up'), wait.file('/etc/passwd'))) })
  expect(container.id).toHaveLength(64)
  const began = performance.now()
  const late = await failure(run('busybox', { command, ready: wait.all(wait.log('up'), wait.port(80).within(100)) }))
  expect(late).toMatchObject({ code: 'ERR_MAYFLY_TIMEOUT', details: { within: 100 } })
  expect(late.message).toMatch(/^busybox was not ready within 100 ms, waiting for port 80\. Its last log lines:\n {2}up$/)
  await failure(run('busybox', { command, ready: wait.any(wait.port(80).within(50), wait.port(81).within(100)) }))
  expect(performance.now() - began).toBeLessThan(5000)
  await using enough = await run('busybox', { command, ready: wait.any(wait.port(80).within(50), wait.log('up')).within(5000) })
  expect(enough.id).toHaveLength(64)
  expect(await failure(run('busybox', { command, ready: wait.port(80).within(0) }))).toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})

test('a container that ends is told of at once: what was waited for and seen, its status and its last lines', async () => {
  const began = performance.now()
  const error = await failure(run('busybox', { command: 'seq 1 60; sleep 0.1; exit 7', ready: wait.all(wait.port(80), wait.exec('exit 5')) }))
  expect(performance.now() - began).toBeLessThan(3000)
  expect(error).toMatchObject({ code: 'ERR_MAYFLY_CONTAINER_EXITED', details: { exitCode: 7, signal: undefined, oomKilled: false, log: Array.from({ length: 50 }, (_, at) => String(at + 11)) } })
  expect(error.message).toContain('busybox ended with exit code 7 before it was ready, waiting for port 80 and command exit 5, and last seeing exit code 5')
})

test('an image of one program, without a shell or anything else', async () => {
  const context = mkdtempSync(join(tmpdir(), 'mayfly-scratch-'))
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY --from=busybox /bin/busybox /httpd\nCMD ["/httpd", "-f", "-vv", "-p", "80"]\nEXPOSE 80\n')
  await build({ context, tags: ['bare:1'] })
  rmSync(context, { recursive: true })
  await using byDefault = await run('bare:1')
  const status = wait.http('/none', { status: 404 })
  await using asked = await run('bare:1', { ready: wait.all(wait.port(80), status, wait.log('response:404'), wait.file('/httpd')) })
  expect([(await byDefault.fetch('/none')).status, asked.ports]).toEqual([404, [80]])
  expect(await asked.exec(['/bin/sh'])).toMatchObject({ exitCode: 127 })
  expect(await failure(run('bare:1', { ready: wait.exec('true'), startTimeout: 500 }))).toMatchObject({ code: 'ERR_MAYFLY_TIMEOUT', message: expect.stringContaining('last seeing exit code 127') as string })
})

test('whom its memory limit ends before it is ready is told of at once', async () => {
  const error = await failure(run('busybox', { command: ['tail', '/dev/zero'], memory: '16m', ready: wait.port(80) })) as MayflyError & { details: { oomKilled: boolean } }
  if (process.env['MAYFLY_TEST_CGROUPS'] === 'none') expect(error.code).toBe('ERR_MAYFLY_LIMIT_UNSUPPORTED')
  else expect([error.code, error.details.oomKilled, error.message]).toEqual(['ERR_MAYFLY_OUT_OF_MEMORY', true, expect.stringContaining('exceeded its memory limit of 16.0 MiB and was killed (signal SIGKILL) before it was ready, waiting for port 80')])
})

test('an image without a health check is not waited for in vain', async () => {
  expect(await failure(run('busybox', { command: ['sleep', '1000'], ready: wait.healthy() }))).toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID', hint: expect.stringContaining('wait.exec') as string })
})

test('options that cannot both be meant are refused', async () => {
  for (const options of [
    { network: 'none', dns: ['192.0.2.1'] }, { network: 'none', ports: [80] }, { network: 'none', hostPorts: [80] }, { readonly: true, storage: '64m' }, { storage: '64m', scratch: 'disk' },
    { privileged: true, capDrop: ['CHOWN'] }, { privileged: true, seccomp: 'default' }, { capAdd: ['CHOWN'], capDrop: ['CAP_CHOWN'] }, { memorySwap: '1g' }, { memory: '1g', memorySwap: '64m' },
    { memory: '64m', memoryReservation: '1g' }, { cpus: 1, cpuQuota: 1000 }, { uts: 'host', hostname: 'x' }, { ipc: 'host', shmSize: '1m' }, { aliases: ['x'] }, { tmpfs: ['/a'], mounts: [{ source: '/', target: '/a' }] },
  ] as const) expect(await failure(run('busybox', { command: ['true'], ...options })), JSON.stringify(options)).toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})
