import { execFile, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { compete } from './measure.mjs'
import { installed } from './processes.mjs'

const execute = promisify(execFile)
const main = fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url))
const ROUNDS = Number(process.env.MAYFLY_BENCH_ROUNDS ?? 8)

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

/** A five-stage Dockerfile without a cache, from the command to its end; further case: nine steps on httpd, all in the cache. */
export async function build(setting) {
  const context = join(setting.scratch, 'context')
  for (let part = 0; part < 10; part += 1) {
    mkdirSync(join(context, `part-${part}`), { recursive: true })
    for (let file = 0; file < 30; file += 1) writeFileSync(join(context, `part-${part}`, `file-${file}`), randomBytes(10_000))
  }
  writeFileSync(join(setting.scratch, 'Stages'), STAGES)
  writeFileSync(join(setting.scratch, 'Httpd'), HTTPD)
  const cold = await compete(await contestants(setting, context, 'Stages', 'busybox', ['--no-cache']), { rounds: ROUNDS, warmUps: 1 })
  const warm = await compete(await contestants(setting, context, 'Httpd', 'httpd', []), { rounds: ROUNDS, warmUps: 2 })
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

async function contestants(setting, context, file, base, flags) {
  const { docker } = setting
  const path = join(setting.scratch, file)
  const from = await docker.image?.(base)
  const whole = (program, words, env = {}) => async () => {
    const began = performance.now()
    await execute(program, words, { env: { ...process.env, ...env }, maxBuffer: 1 << 26 }).catch((error) => {
      throw new Error(String(error.stderr).trim().split('\n').at(-1) || error.message)
    })
    return performance.now() - began
  }
  await execute(process.execPath, [main, 'pull', '-q', base])
  const buildKit = buildKitClient()
  const words = (name) => ['build', '-q', '-f', path, '--build-arg', `BASE=${name}`, ...flags, '-t', `bench-${file.toLowerCase()}`, context]
  return [
    { name: 'mayfly', once: whole(process.execPath, [main, ...words(base)]) },
    { name: 'docker (BuildKit)', absent: docker.absent ?? buildKit.absent, once: whole(buildKit.client, words(from), { DOCKER_BUILDKIT: '1' }) },
    { name: 'docker (classic)', absent: docker.absent, once: whole('docker', words(from), { DOCKER_BUILDKIT: '0' }) },
    await viaBuildah(setting, { path, context, base, flags }),
  ]

  async function viaBuildah({ rootfs, scratch }, { path: dockerfile, context: directory, base: image, flags: given }) {
    const name = 'buildah'
    if (!installed(name)) return { name, absent: 'buildah is not installed' }
    const options = ['--root', join(scratch, 'buildah'), '--runroot', join(scratch, 'buildah-run'), '--storage-driver', 'overlay']
    try {
      // From the same files: the registry here speaks plain HTTP.
      const root = await rootfs(image)
      const { stdout } = await execute(name, [...options, 'from', 'scratch'])
      await execute(name, [...options, 'copy', stdout.trim(), root, '/'])
      await execute(name, [...options, 'commit', '--rm', stdout.trim(), `localhost/bench-${image}`])
    } catch (error) {
      return { name, absent: `buildah does not work here: ${String(error.stderr ?? error.message).trim().split('\n').at(-1)}` }
    }
    const all = [...options, 'bud', '-q', '--isolation', 'chroot', '--layers', '--pull-never', '-f', dockerfile, '--build-arg', `BASE=localhost/bench-${image}`, ...given, '-t', `bench-${image}`, directory]
    return { name, once: whole(name, all) }
  }
}
