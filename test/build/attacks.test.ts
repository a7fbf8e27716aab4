import { execFileSync } from 'node:child_process'
import { createReadStream, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from '@mayfly/core'
import { expect, test } from 'vitest'
import { fileOf, imageOf, made, printed, useWorkshop } from './workshop.js'

const workshop = useWorkshop()

/** A directory of this machine that no build may touch: what an attack aims at. */
function victim(name: string): { readonly path: string; untouched(): boolean } {
  const path = join(workshop.directory, name)
  mkdirSync(join(path, 'inner'), { recursive: true })
  for (const file of ['empty', 'hosts', 'hostname', 'resolv.conf']) writeFileSync(join(path, file), '')
  writeFileSync(join(path, 'secret'), 'of the host')
  const before = readdirSync(path).join()
  return { path, untouched: () => readdirSync(path).join() === before }
}

function tarOf(files: (directory: string) => void): string {
  const directory = join(workshop.directory, `tar-${String(Math.random()).slice(2)}`)
  mkdirSync(directory)
  files(directory)
  execFileSync('tar', ['-C', directory, '-cf', `${directory}.tar`, '.'])
  return `${directory}.tar`
}

test('taking mount points out of an image does not follow links that the command put in their way (CVE-2024-23652)', async () => {
  const host = victim('stubs')
  // The directories on the way are this RUN's own, so that it may move them, mounts and all.
  await made(`FROM busybox
RUN --mount=type=tmpfs,target=/a/inner --mount=type=bind,source=Dockerfile,target=/b/empty mv /a /c && ln -s ${host.path} /a && mv /b /d && ln -s ${host.path} /b`)
  expect(host.untouched()).toBe(true)
})

test('nor does taking out /etc/hosts and its like', async () => {
  const host = victim('identity')
  await made(`FROM scratch
COPY --from=busybox /bin /bin
RUN mv /etc /old && ln -s ${host.path} /etc`)
  expect(host.untouched()).toBe(true)
})

test('a bind mount from an image whose source is a link shows the image\'s files, not the host\'s (CVE-2024-1753)', async () => {
  const host = victim('bind')
  const { name } = await made(`FROM busybox AS evil
RUN ln -s / /root-of-host && ln -s ${host.path} /direct && ln -s ../../../../../../../../${host.path} /climbing
FROM busybox
RUN --mount=type=bind,from=evil,source=/root-of-host,target=/seen ls -d /seen${host.path} 2>/dev/null; ls /seen > /listed`)
  expect((await fileOf(name, '/listed'))?.split('\n')).toContain('direct')
  for (const source of ['direct', 'climbing']) {
    await expect(made(`FROM busybox AS evil
RUN ln -s / /root-of-host && ln -s ${host.path} /direct && ln -s ../../../../../../../../${host.path} /climbing
FROM busybox
RUN --mount=type=bind,from=evil,source=/${source},target=/seen,rw cat /seen/secret`)).rejects.toMatchObject({ message: expect.stringContaining('is not in evil') as string })
  }
})

test('a mount whose target is a link of the image stays in the container', async () => {
  const host = victim('target')
  const { name } = await made(`FROM busybox AS base
RUN mkdir -p ${host.path} && ln -s ${host.path} /way
FROM base
RUN --mount=type=cache,target=/way/inner touch /way/inner/written && ls ${host.path}/inner > /listed`)
  expect(await fileOf(name, '/listed')).toBe('written\n')
  expect(readdirSync(join(host.path, 'inner'))).toEqual([])
  expect(await printed(name, 'sh', '-c', `ls ${host.path}; ls -d /way/`)).toEqual(['/way/'])
})

test('links left in a cache lead its next user nowhere on the host (CVE-2024-23651)', async () => {
  const host = victim('cache')
  const { name } = await made(`FROM busybox
RUN --mount=type=cache,id=shared,target=/cache ln -s ${host.path} /cache/way
RUN --mount=type=cache,id=shared,target=/cache cat /cache/way/secret > /seen 2>&1; echo written > /cache/way/new 2>/dev/null; true`)
  expect(await fileOf(name, '/seen')).toContain('No such file')
  expect(host.untouched()).toBe(true)
  // A part of a cache, which another build could replace by a link meanwhile, cannot be asked for.
  await expect(made('FROM busybox\nRUN --mount=type=cache,id=shared,source=way,target=/x true')).rejects.toMatchObject({ message: expect.stringContaining('from=') as string })
})

test('writing to a bind mount changes neither the context nor a stage', async () => {
  const { name } = await made(`FROM busybox AS other
RUN echo original > /note
FROM busybox
RUN --mount=type=bind,target=/ctx,rw --mount=type=bind,from=other,target=/other,rw echo changed | tee /ctx/note > /other/note
COPY note /from-context
COPY --from=other /note /from-stage`, { note: 'original\n' })
  expect([await fileOf(name, '/from-context'), await fileOf(name, '/from-stage')]).toEqual(['original\n', 'original\n'])
})

test('in a context that came as a tar no link leads out, the Dockerfile\'s own included', async () => {
  const host = victim('context')
  const evil = (name: string, target: string, dockerfile = 'FROM busybox\nCOPY . /x'): string => tarOf((directory) => {
    if (name !== 'Dockerfile') writeFileSync(join(directory, 'Dockerfile'), dockerfile)
    symlinkSync(target, join(directory, name))
  })
  for (const target of [join(host.path, 'secret'), `../../../../../../../../${host.path}/secret`]) {
    const refused = await build({ context: createReadStream(evil('Dockerfile', target)) }).then(() => '', (error: Error) => error.message)
    expect(refused).toBe('There is no Dockerfile')
    await expect(build({ context: createReadStream(evil('escape', target, 'FROM busybox\nCOPY escape /x')) })).rejects.toMatchObject({ code: 'ERR_MAYFLY_DOCKERFILE_INVALID' })
  }
  await expect(build({ context: createReadStream(evil('way', host.path, 'FROM busybox\nCOPY way/* /x/')) })).rejects.toMatchObject({ code: 'ERR_MAYFLY_DOCKERFILE_INVALID' })
})

test('an archive unpacked by ADD writes nowhere but into its layer', async () => {
  const host = victim('archive')
  const through = tarOf((directory) => {
    mkdirSync(join(directory, 'first'))
    symlinkSync(host.path, join(directory, 'first/way'))
  })
  // The same name again, as a file below the link.
  const second = tarOf((directory) => {
    mkdirSync(join(directory, 'first/way'), { recursive: true })
    writeFileSync(join(directory, 'first/way/planted'), 'planted')
  })
  execFileSync('tar', ['-Af', through, second])
  const climbing = tarOf((directory) => { writeFileSync(join(directory, 'planted'), 'planted') })
  execFileSync('tar', ['-f', climbing, '--delete', './planted'])
  execFileSync('tar', ['-C', workshop.directory, '-P', '--transform', `s|^stubs/secret|../../../../../..${host.path}/planted|`, '-rf', climbing, 'stubs/secret'])
  for (const archive of [through, climbing]) {
    const context = join(workshop.directory, `adding-${String(archive === through)}`)
    mkdirSync(context)
    writeFileSync(join(context, 'Dockerfile'), 'FROM busybox\nADD root.tar /data/')
    execFileSync('cp', [archive, join(context, 'root.tar')])
    // Unpacked inside or refused: either way the host is left alone.
    await build({ context }).catch((error: Error & { code?: string }) => expect(error.code).toBe('ERR_MAYFLY_LAYER_INVALID'))
    expect(host.untouched()).toBe(true)
  }
})

test('what changes settings alone changes the cache\'s key: HEALTHCHECK and ONBUILD too (CVE-2024-24557)', async () => {
  const dockerfile = (setting: string): string => `FROM scratch\nCOPY --from=busybox /bin /bin\n${setting}\nRUN echo $RANDOM > /made`
  const results = []
  for (const setting of ['HEALTHCHECK CMD true', 'HEALTHCHECK --interval=5s CMD true', 'HEALTHCHECK NONE', 'ONBUILD RUN true', 'ONBUILD RUN false']) {
    const { name, cached } = await made(dockerfile(setting))
    expect(cached.filter((text) => text.startsWith('RUN'))).toEqual([])
    results.push(await fileOf(name, '/made'))
  }
  expect(new Set(results).size).toBe(results.length)
  // And an image that only pretends to be the base of an earlier build is another base.
  await made('FROM scratch\nCOPY --from=busybox /bin /bin\nENTRYPOINT ["/bin/evil"]')
  expect((await imageOf((await made(dockerfile('HEALTHCHECK CMD true'))).name)).config).toMatchObject({ Entrypoint: [] })
})

test('secrets are in no layer, history, cache, log or key: nowhere in the store, while the build runs and afterwards', async () => {
  const [file, variable] = ['s3cr3t-in-a-file-7391', 's3cr3t-in-a-variable-7391']
  const found = (): readonly string[] => [file, variable].filter((text) => {
    try {
      return execFileSync('grep', ['-rlaF', text, workshop.home], { encoding: 'utf8' }) !== ''
    } catch {
      return false
    }
  })
  const during: string[] = []
  const dockerfile = `FROM busybox
RUN --mount=type=secret,id=key --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=key,target=/root/.npmrc,mode=440,gid=7 \\
  echo looking && cat /run/secrets/key | md5sum > /sum && echo $TOKEN | md5sum >> /sum && stat -c '%a %u:%g' /run/secrets/key /root/.npmrc > /rights && sleep 0.2`
  const options = {
    secrets: { key: { value: file }, token: { value: variable } },
    onProgress: (event: { kind: string }) => { if (event.kind === 'output') during.push(...found()) },
  }
  const { name, id } = await made(dockerfile, {}, options)
  expect(during).toEqual([])
  expect(found()).toEqual([])
  expect(await fileOf(name, '/rights')).toBe('400 0:0\n440 0:7\n')
  expect(await printed(name, 'sh', '-c', 'ls -dA /run/secrets /root/.npmrc 2>/dev/null; env | grep -c s3cr3t')).toEqual(['0'])
  // Another value is no reason to do the step again.
  expect((await made(dockerfile, {}, { secrets: { key: { value: 'another' }, token: { value: 'other' } } })).id).toBe(id)
  // A failed command leaves none behind either.
  await expect(made('FROM busybox\nRUN --mount=type=secret,id=key false', {}, options)).rejects.toMatchObject({ code: 'ERR_MAYFLY_DOCKERFILE_INVALID' })
  expect(found()).toEqual([])
  expect(readdirSync('/dev/shm').filter((entry) => entry.startsWith(`mayfly-secrets-${process.pid}-`))).toEqual([])
})
