import { execFile, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startDaemon } from './docker.mjs'
import { compete } from './measure.mjs'
import { installed } from './processes.mjs'
import { onFreshFilesystem } from './pull/filesystem.mjs'

const execute = promisify(execFile)
const main = fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url))
const ROUNDS = Number(process.env.MAYFLY_BENCH_ROUNDS ?? 5)

/** Five stages, four of which do not need one another; no step needs a network. */
const STAGES = `ARG BASE
FROM \${BASE} AS sources
COPY . /src
RUN find /src -type f | sort | xargs sha256sum > /sums
FROM \${BASE} AS packed
COPY . /src
RUN tar -czf /src.tar.gz -C / src
FROM \${BASE} AS many
RUN mkdir /many && i=0; while [ $i -lt 500 ]; do echo $i > /many/$i; i=$((i+1)); done
FROM \${BASE} AS words
COPY part-0 /words
RUN cat /words/* | sha256sum > /words.sum
FROM \${BASE}
COPY --from=sources /sums /result/sums
COPY --from=packed /src.tar.gz /result/
COPY --from=many /many /result/many
COPY --from=words /words.sum /result/
RUN wc -l /result/sums > /result/count
`

const HTTPD = `ARG BASE
FROM \${BASE}
ENV A=1
WORKDIR /srv
COPY part-0 /srv/a
COPY part-1 /srv/b
RUN echo built > /srv/built
LABEL made=here
EXPOSE 8080
CMD ["httpd", "-DFOREGROUND"]
`

/** What each builds once before it is measured, so that a daemon that has just started has read its code. */
const FIRST = `ARG BASE
FROM \${BASE}
COPY part-9/file-0 /first
RUN cat /first > /second
`

/**
 * A five-stage Dockerfile without a cache, from the command to its end, each time on a fresh file system that has the base image;
 * further case: nine steps on httpd, all in the cache.
 */
export async function build(setting) {
  if (process.geteuid() !== 0) throw new Error('only root can give each contestant a fresh file system')
  const context = join(setting.scratch, 'context')
  for (let part = 0; part < 10; part += 1) {
    mkdirSync(join(context, `part-${part}`), { recursive: true })
    for (let file = 0; file < 30; file += 1) writeFileSync(join(context, `part-${part}`, `file-${file}`), randomBytes(10_000))
  }
  writeFileSync(join(setting.scratch, 'Stages'), STAGES)
  writeFileSync(join(setting.scratch, 'Httpd'), HTTPD)
  writeFileSync(join(setting.scratch, 'First'), FIRST)
  const colds = (await ways(setting, context, 'busybox')).map(({ name, absent, open }) => ({ name, absent, once: () => onFreshFilesystem(setting.scratch, async (directory) => {
    const way = await open(directory)
    try {
      await way.build('First')
      // What earlier work left to be written must not be written now.
      execFileSync('sync')
      return await way.build('Stages', ['--no-cache'])
    } finally {
      await way.close?.()
    }
  }) }))
  const cold = await compete(colds, { rounds: ROUNDS, warmUps: 1 })
  const kept = []
  const warms = []
  for (const { name, absent, open } of await ways(setting, context, 'httpd')) {
    const way = absent === undefined ? await open(mkdtempSync(join(setting.scratch, 'warm-'))) : undefined
    if (way !== undefined) kept.push(way)
    warms.push({ name, absent, once: () => way.build('Httpd') })
  }
  const warm = await compete(warms, { rounds: ROUNDS, warmUps: 2 })
  for (const way of kept) await way.close?.()
  return { name: 'build', unit: 'ms', ...cold, series: [{ case: 'httpd, warm cache', ...warm }] }
}

/** A client that can ask for BuildKit: from 23 on that is a plugin's, which Debian has none of; earlier ones have it built in. */
function buildKitClient() {
  for (const client of ['docker', '/usr/bin/docker']) {
    try {
      const [, major] = /version (\d+)\./.exec(execFileSync(client, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })) ?? []
      if (Number(major) < 23) return { client }
      execFileSync(client, ['buildx', 'version'], { stdio: 'ignore' })
      return { client }
    } catch {
      // Not there, or without the plugin.
    }
  }
  return { client: 'docker', absent: 'no docker client here has buildx, or BuildKit built in' }
}

/** How each contestant builds, in a directory where it has the base image and nothing else. */
async function ways(setting, context, base) {
  const { docker, scratch } = setting
  const from = await docker.image?.(base)
  const whole = (program, words, env = {}) => async () => {
    const began = performance.now()
    await execute(program, words, { env: { ...process.env, ...env }, maxBuffer: 1 << 26 }).catch((error) => {
      throw new Error(String(error.stderr).trim().split('\n').at(-1) || error.message)
    })
    return performance.now() - began
  }
  const words = (image, file, flags = []) => ['-q', '-f', join(scratch, file), '--build-arg', `BASE=${image}`, ...flags, '-t', `bench-${file.toLowerCase()}`, context]
  const buildKit = buildKitClient()
  const viaDocker = (name, client, kit) => ({
    name, absent: docker.absent ?? (kit === '1' ? buildKit.absent : undefined) ?? (installed('dockerd') ? undefined : 'there is no Docker daemon'),
    open: async (directory) => {
      const daemon = await startDaemon({ data: join(directory, 'docker') })
      if (daemon.absent !== undefined) throw new Error(daemon.absent)
      const env = { DOCKER_HOST: daemon.host, DOCKER_BUILDKIT: kit }
      await whole(client, ['pull', '-q', from], env)()
      return { close: daemon.close, build: (file, flags) => whole(client, ['build', ...words(from, file, flags)], env)() }
    },
  })
  return [
    {
      name: 'mayfly',
      open: async (directory) => {
        const env = { MAYFLY_HOME: join(directory, 'mayfly') }
        await whole(process.execPath, [main, 'pull', '-q', base], env)()
        return { build: (file, flags) => whole(process.execPath, [main, 'build', ...words(base, file, flags)], env)() }
      },
    },
    viaDocker('docker (BuildKit)', buildKit.client, '1'),
    viaDocker('docker (classic)', 'docker', '0'),
    {
      name: 'buildah', absent: installed('buildah') ? undefined : 'buildah is not installed',
      open: async (directory) => {
        const options = ['--root', join(directory, 'buildah'), '--runroot', join(directory, 'buildah-run'), '--storage-driver', 'overlay']
        // From the same files: the registry here speaks plain HTTP.
        const root = await setting.rootfs(base)
        const { stdout } = await execute('buildah', [...options, 'from', 'scratch'])
        await execute('buildah', [...options, 'copy', stdout.trim(), root, '/'])
        const image = `localhost/bench-${base}`
        await execute('buildah', [...options, 'commit', '--rm', stdout.trim(), image])
        return { build: (file, flags) => whole('buildah', [...options, 'bud', '--isolation', 'chroot', '--layers', '--pull-never', ...words(image, file, flags)])() }
      },
    },
  ]
}
