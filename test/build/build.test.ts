import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from '@mayfly/core'
import { chooseImage, imageHistory, listCatalog, openStore } from '@mayfly/core/engine'
import { expect, test } from 'vitest'
import { fileOf, imageOf, made, printed, useWorkshop } from './workshop.js'

const workshop = useWorkshop()

test('stages, variables, files, commands and metadata', async () => {
  const { name } = await made(`
ARG BASE=busybox
FROM \${BASE} AS tools
ARG GREETING="hello there"
ENV WHO=world NAME="$GREETING"
WORKDIR /work
COPY *.txt sub/ ./
RUN echo "$NAME, $WHO" > out.txt && cat a.txt >> out.txt

FROM busybox
LABEL by="nobody in particular" of=test
COPY --from=tools --chmod=600 /work/out.txt /srv/
COPY --from=0 /work/inner /srv/inner
RUN <<EOF
set -e
echo from a heredoc > /srv/heredoc
EOF
COPY <<one <<-"two" /etc/made/
first $WHO "quoted"
one
	second $WHO
	two
USER 1000:1000
EXPOSE 80 53/udp
VOLUME /data
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["id -u; cat /srv/out.txt 2>&1; cat /srv/inner /srv/heredoc /etc/made/one /etc/made/two"]
`, { 'a.txt': 'a\n', 'b.txt': 'b\n', 'sub/inner': 'inner\n', 'not.md': '' })
  expect(await printed(name)).toEqual(['1000', "cat: can't open '/srv/out.txt': Permission denied", 'inner', 'from a heredoc', 'first  "quoted"', 'second $WHO'])
  expect(await fileOf(name, '/srv/out.txt')).toBe('hello there, world\na\n')
  expect((await imageOf(name)).config).toMatchObject({
    User: '1000:1000', ExposedPorts: ['80/tcp', '53/udp'], Volumes: ['/data'], StopSignal: 'SIGINT',
    Entrypoint: ['/bin/sh', '-c'], Labels: { by: 'nobody in particular', of: 'test' },
  })
})

test('the chain from nothing: a root file system, an image on it, an image on that', async () => {
  const context = join(workshop.directory, 'chain')
  mkdirSync(context)
  await made('FROM busybox')
  const [root = ''] = (await imageOf('busybox')).layers
  execFileSync('tar', ['-C', root, '-czf', join(context, 'root.tar.gz'), '.'])
  await build({ context, tags: ['base:1'], dockerfile: 'FROM scratch\nADD root.tar.gz /\nCMD ["/bin/sh"]' })
  await build({ context, tags: ['middle:1'], dockerfile: 'FROM base:1\nRUN echo built > /etc/name\nONBUILD RUN echo triggered >> /etc/name' })
  await build({ context, tags: ['top:1'], dockerfile: 'FROM middle:1\nCMD ["cat", "/etc/name"]' })
  expect(await printed('top:1')).toEqual(['built', 'triggered'])
})

test('a step that was done is not done again; what changed, and what follows, is', async () => {
  const dockerfile = 'FROM busybox\nARG V=1\nCOPY a /a\nRUN cat /a > /b\nRUN echo $V > /v\nCMD ["cat", "/b"]'
  const first = await made(dockerfile, { a: 'one' })
  expect(first.cached).toEqual([])
  const again = await made(dockerfile, { a: 'one', unrelated: 'x' })
  expect(again.cached).toEqual(['COPY a /a', 'RUN cat /a > /b', 'RUN echo $V > /v'])
  expect(again.id).toBe(first.id)
  expect((await made(dockerfile, { a: 'one' }, { buildArgs: { V: '2' } })).cached).toEqual(['COPY a /a'])
  expect((await made(dockerfile, { a: 'two' })).cached).toEqual([])
  expect((await made(dockerfile, { a: 'one' }, { noCache: true })).cached).toEqual([])
})

test('independent stages are built at the same time, those nobody needs not at all', async () => {
  const { events } = await made(`
FROM busybox AS one
RUN usleep 300000; echo 1 > /one
FROM busybox AS two
RUN usleep 300000; echo 2 > /two
FROM busybox AS unused
RUN exit 1
FROM scratch
COPY --from=one /one /
COPY --from=two /two /
`)
  const steps = events.flatMap((event) => event.kind === 'step' && event.step.text.startsWith('RUN') ? [`${event.step.label} ${event.state}`] : [])
  expect(steps.filter((text) => text.startsWith('unused'))).toEqual([])
  expect(steps.indexOf('two 1/1 started')).toBeLessThan(steps.indexOf('one 1/1 done'))
  await expect(made('FROM busybox AS a\nFROM scratch AS b\n', {}, { target: 'c' })).rejects.toMatchObject({
    code: 'ERR_MAYFLY_DOCKERFILE_INVALID', message: expect.stringContaining('no stage is called "c"') as string,
  })
})

test('mounts: caches stay; secrets, bind mounts and mount points leave nothing', async () => {
  const dockerfile = `
FROM busybox AS files
RUN echo from a stage > /note
FROM busybox
RUN --mount=type=cache,target=/var/cache/x echo run >> /var/cache/x/log; wc -l < /var/cache/x/log > /count
RUN --mount=type=secret,id=key --mount=type=bind,target=/ctx --mount=type=bind,from=files,source=/note,target=/deep/er/note --mount=type=tmpfs,target=/scratch \\
  cat /run/secrets/key | md5sum > /sum; cat /ctx/data /deep/er/note > /seen; ! touch /ctx/x 2>/dev/null && touch /scratch/y
`
  const secrets = { key: { value: 'hush-hush' } }
  const { name } = await made(dockerfile, { data: 'data\n' }, { secrets })
  expect(await fileOf(name, '/count')).toBe('1\n')
  expect(await fileOf(name, '/seen')).toBe('data\nfrom a stage\n')
  expect(await printed(name, 'sh', '-c', 'ls -d /ctx /deep /scratch /var/cache /run/secrets 2>/dev/null; echo end')).toEqual(['end'])
  const other = await made(dockerfile.replace('echo run', 'echo again'), { data: 'data\n' }, { secrets })
  expect(await fileOf(other.name, '/count')).toBe('2\n')
  await expect(made('FROM busybox\nRUN --mount=type=secret,id=nope,required=true true')).rejects.toMatchObject({ message: expect.stringContaining('required and was not given') as string })
})

test('errors point at the file, the line and what stands there', async () => {
  await expect(made('FROM busybox\n\nRUN echo one; \\\n  echo the reason >&2; exit 7\n')).rejects.toMatchObject({
    code: 'ERR_MAYFLY_DOCKERFILE_INVALID',
    message: expect.stringMatching(/^Dockerfile:3:1: the command ended with status 7; it printed last:\n {2}one\n {2}the reason\n\n {2}3 \| RUN echo one; \\\n {4}\| \^$/) as string,
  })
  const refused = async (text: string, message: string): Promise<void> => {
    await expect(made(text)).rejects.toMatchObject({ code: 'ERR_MAYFLY_DOCKERFILE_INVALID', message: expect.stringContaining(message) as string })
  }
  await refused('FROM busybox\nCOPY missing /x', 'Dockerfile:2:1: "missing" is not in the build context')
  await refused('FROM busybox\nRUN ["/nothing"]', 'Dockerfile:2:1:')
  await refused('FROM busybox\nEXPOSE many', '"many" is no port')
  await refused('ARG X\nFROM $X', 'names nothing')
})

test('an image that cannot be had is told at the instruction that names it, with its own code', async () => {
  const told = (file: string) => expect(made(file)).rejects
  await told('FROM busybox:${NOTHING}').toMatchObject({ code: 'ERR_MAYFLY_REFERENCE_INVALID', message: expect.stringMatching(/Dockerfile:1:1: Invalid image reference "busybox:"[^]*\n {2}1 \| FROM busybox:\$\{NOTHING\}\n {4}\| \^$/) as string })
  await told('FROM busybox\nCOPY --from=nowhere /a /b').toMatchObject({ code: 'ERR_MAYFLY_IMAGE_NOT_FOUND', details: { line: 2, column: 1 }, message: expect.stringContaining('  2 | COPY --from=nowhere /a /b') as string })
  await told('FROM busybox\nRUN --mount=type=bind,from=nowhere,target=/x true').toMatchObject({ code: 'ERR_MAYFLY_IMAGE_NOT_FOUND', details: { line: 2 } })
})

test('the history tells instructions as they were written, expanded, and nothing is without a time', async () => {
  const { name } = await made('FROM busybox\nARG A=1\nENV X=$A Y="a b"\nLABEL l=$A\nUSER nobody\nWORKDIR /w\nRUN true')
  const store = await openStore()
  const steps = (await imageHistory(store, chooseImage(await listCatalog(store), name).image)).reverse()
  expect(steps.slice(-6).map(({ createdBy }) => createdBy)).toEqual(['ARG A=1', 'ENV X=1 Y=a b', 'LABEL l=1', 'USER nobody', 'WORKDIR /w', 'RUN true'])
  expect(steps.filter(({ created }) => created === undefined)).toEqual([])
})

test('owners, links, exclusions and the ignore file', async () => {
  const context = join(workshop.directory, 'links')
  mkdirSync(join(context, 'tree/deep'), { recursive: true })
  for (const path of ['tree/file', 'tree/deep/skip.log', 'secret']) writeFileSync(join(context, path), 'x')
  writeFileSync(join(context, '.dockerignore'), 'secret\n')
  symlinkSync('file', join(context, 'tree/link'))
  symlinkSync('/etc/passwd', join(context, 'escape'))
  chmodSync(join(context, 'tree/file'), 0o755)
  const dockerfile = 'FROM busybox\nRUN mkdir /real && ln -s /real /alias && echo "app:x:77:88::/:" >> /etc/passwd\nCOPY --chown=app --exclude=**/*.log tree /alias/\nCOPY tree/file /alias/other'
  await build({ context, tags: ['links'], dockerfile })
  expect(await printed('links', 'sh', '-c', 'cd /real; stat -c "%n %u:%g %a" * | sort; readlink link; ls deep')).toEqual([
    'deep 77:88 755', 'file 77:88 755', 'link 77:88 777', 'other 0:0 755', 'file',
  ])
  await expect(build({ context, dockerfile: 'FROM busybox\nCOPY secret /' })).rejects.toMatchObject({ hint: expect.stringContaining('.dockerignore') as string })
  // A link that leads out of the context leads nowhere.
  await expect(build({ context, dockerfile: 'FROM busybox\nCOPY escape /x' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_DOCKERFILE_INVALID' })
})

test('the same inputs give the same image where SOURCE_DATE_EPOCH says when', async () => {
  const dockerfile = 'FROM busybox\nCOPY a /a\nRUN echo x > /x\nLABEL a=b'
  const options = { noCache: true, buildArgs: { SOURCE_DATE_EPOCH: '1700000000' } }
  const [one, two] = [await made(dockerfile, { a: 'one' }, options), await made(dockerfile, { a: 'one' }, options)]
  expect(two.digest).toBe(one.digest)
})

test('platforms, targets and arguments nobody asks for', async () => {
  const { name, events } = await made('ARG TARGETARCH\nFROM busybox AS base\nARG TARGETARCH BUILDPLATFORM TARGETSTAGE\nRUN echo "$TARGETARCH $BUILDPLATFORM $TARGETSTAGE" > /out\nFROM base AS wanted', {}, {
    target: 'wanted', buildArgs: { MISSPELT: '1', HTTP_PROXY: 'http://127.0.0.1:1' },
  })
  const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch
  expect(await fileOf(name, '/out')).toBe(`${architecture} linux/${architecture} wanted\n`)
  expect(events.flatMap((event) => (event.kind === 'warning' ? [event.text] : []))).toEqual(['no ARG asks for MISSPELT'])
})

test('ONBUILD: triggers run in the stage that is built on, another stage\'s too; what is wrong in one is told at FROM', async () => {
  const { name } = await made('FROM busybox AS base\nONBUILD COPY a /from-trigger\nONBUILD RUN cat /from-trigger > /copied\nFROM base\nRUN cat /copied > /again', { a: 'a\n' })
  expect(await fileOf(name, '/again')).toBe('a\n')
  await made('FROM busybox\nONBUILD COPY nothing /x', {}, { tags: ['bad-trigger'] })
  await expect(made('# first\n\nFROM bad-trigger')).rejects.toMatchObject({ message: expect.stringMatching(/^Dockerfile:3:1: "nothing" is not in the build context/) as string })
})

test('one stage anew, the others from the cache', async () => {
  const dockerfile = 'FROM busybox AS one\nRUN echo 1 > /one\nFROM busybox AS two\nRUN echo 2 > /two\nFROM busybox\nCOPY --from=one /one /\nCOPY --from=two /two /'
  await made(dockerfile)
  const { cached } = await made(dockerfile, {}, { noCacheFilter: ['TWO'] })
  expect(cached.filter((text) => text.startsWith('RUN'))).toEqual(['RUN echo 1 > /one'])
})

test('an image from nothing knows where programs are, and has the platform FROM says', async () => {
  const { name } = await made('FROM --platform=linux/arm64 scratch\nCOPY a /a', { a: '' })
  expect(await imageOf(name, { os: 'linux', architecture: 'arm64' })).toMatchObject({ architecture: 'arm64', config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'] } })
  await expect(made('FROM busybox\nSTOPSIGNAL SIGNOTHING')).rejects.toMatchObject({ message: expect.stringContaining('"SIGNOTHING" is no signal') as string })
})

test('stages that do the same do it once, and one that does something else does that', async () => {
  const step = 'COPY a /a\nRUN head -c 16 /dev/urandom | od -An -tx1 > /random'
  const { name } = await made(`
FROM busybox AS one
${step}
FROM busybox AS two
${step}
FROM busybox AS three
ARG OTHER=1
${step}
FROM busybox
COPY --from=one /random /1
COPY --from=two /random /2
COPY --from=three /random /3
`, { a: 'a' }, { noCache: true })
  const [one, two, three] = await Promise.all(['/1', '/2', '/3'].map(async (path) => await fileOf(name, path)))
  expect(one).toMatch(/^( [0-9a-f]{2}){16}\n$/)
  expect(two).toBe(one)
  expect(three).not.toBe(one)
})
