import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createSocket } from 'node:net'
import { join } from 'node:path'
import { build } from '@mayfly/core'
import { expect, test } from 'vitest'
import { until } from '../runtime/bench.js'
import { made, printed, useWorkshop } from './workshop.js'

const workshop = useWorkshop()

/** Every name below /x of an image, sorted, with what `stat -c` is asked for. */
async function listing(name: string, format = '%n'): Promise<readonly string[]> {
  return await printed(name, 'sh', '-c', `cd /x && find . | sed 's|^\\./||' | grep -v '^\\.$' | sort | xargs stat -c '${format}'`)
}

test('wildcards are Go\'s: a dot is a character like another, `**` is any depth; --exclude leaves out', async () => {
  const files = { '.hidden': '', 'a.txt': '', 'b.md': '', 'd/.c.txt': '', 'd/e/f.txt': '', 'd/e/g.md': '', 'z[1].txt': '' }
  const copied = async (instruction: string): Promise<readonly string[]> => await listing((await made(`FROM busybox\n${instruction}`, files)).name)
  expect(await copied('COPY *.txt .h* /x/')).toEqual(['.hidden', 'a.txt', 'z[1].txt'])
  expect(await copied('COPY * /x/')).toEqual(['.c.txt', '.hidden', 'Dockerfile', 'a.txt', 'b.md', 'e', 'e/f.txt', 'e/g.md', 'z[1].txt'])
  expect(await copied('COPY ?.[a-m]* /x/')).toEqual(['b.md'])
  expect(await copied('COPY z[[]1].txt /x/')).toEqual(['z[1].txt'])
  expect(await copied('COPY --exclude=*.md --exclude=**/f.txt . /x/')).toEqual(['.hidden', 'Dockerfile', 'a.txt', 'd', 'd/.c.txt', 'd/e', 'd/e/g.md', 'z[1].txt'])
  expect(await copied('COPY --parents d/e/f.txt **/*.md /x/')).toEqual(['b.md', 'd', 'd/e', 'd/e/f.txt', 'd/e/g.md'])
  expect(await copied('COPY --parents ./d/./e/*.txt d/./.c.txt /x/')).toEqual(['.c.txt', 'e', 'e/f.txt'])
})

test('owners, modes and links: directories on the way belong to --chown too, names of one file stay one, mode 0 is a mode', async () => {
  const context = join(workshop.directory, 'rights')
  mkdirSync(join(context, 'tree'), { recursive: true })
  writeFileSync(join(context, 'tree/one'), 'one')
  linkSync(join(context, 'tree/one'), join(context, 'tree/two'))
  writeFileSync(join(context, 'tree/none'), '')
  chmodSync(join(context, 'tree/none'), 0)
  await build({ context, tags: ['rights'], dockerfile: 'FROM busybox\nCOPY --chown=300000:7 tree /x/deep/er/\nCOPY --chmod=u=rwX,go= tree/one /x/plain/one' })
  expect(await listing('rights', '%n %u:%g %a %h')).toEqual([
    'deep 300000:7 755 3', 'deep/er 300000:7 755 2', 'deep/er/none 300000:7 0 1', 'deep/er/one 300000:7 644 2', 'deep/er/two 300000:7 644 2',
    'plain 0:0 755 2', 'plain/one 0:0 600 1',
  ])
})

test('--link follows no link of what lies below', async () => {
  const { name } = await made('FROM busybox\nRUN mkdir /real /x && ln -s /real /x/way\nCOPY --link a /x/way/', { a: 'a' })
  expect(await printed(name, 'sh', '-c', 'ls -d /x/way/a /real/a 2>/dev/null; test -L /x/way || echo replaced')).toEqual(['/x/way/a', 'replaced'])
})

test.each(['', 'z', 'J', 'j', '--zstd'])('ADD unpacks tar archives (tar %s): owners, modes, links and times are the archive\'s', async (compression) => {
  const program = { z: 'gzip', J: 'xz', j: 'bzip2', '--zstd': 'zstd' }[compression]
  if (program !== undefined && !['/bin', '/usr/bin'].some((directory) => existsSync(join(directory, program)))) return void process.stderr.write(`skipped: there is no ${program} here\n`)
  const root = join(workshop.directory, `root${compression}`)
  mkdirSync(join(root, 'dir'), { recursive: true })
  writeFileSync(join(root, 'dir/file'), 'content')
  linkSync(join(root, 'dir/file'), join(root, 'dir/again'))
  execFileSync('ln', ['-s', 'file', join(root, 'dir/link')])
  execFileSync('mkfifo', ['-m', '600', join(root, 'dir/pipe')])
  chmodSync(join(root, 'dir'), 0o2750)
  const context = join(workshop.directory, `adding${compression}`)
  mkdirSync(context)
  const flag = compression === '' ? '-cf' : compression.startsWith('--') ? '-cf' : `-c${compression}f`
  execFileSync('tar', ['-C', root, ...(compression.startsWith('--') ? [compression] : []), '--owner=5', '--group=6', '--mtime=@1000000000', flag, join(context, 'any.name'), '.'])
  const dockerfile = 'FROM busybox\nADD any.name /x/\nADD --chown=8:9 any.name /x/owned/\nCOPY any.name /x/kept\nADD --unpack=false any.name /x/packed'
  await build({ context, tags: ['added'], dockerfile })
  expect(await listing('added', '%n %u:%g %a %h %F %Y')).toEqual([
    'dir 5:6 2750 2 directory 1000000000', 'dir/again 5:6 644 2 regular file 1000000000', 'dir/file 5:6 644 2 regular file 1000000000',
    'dir/link 5:6 777 1 symbolic link 1000000000', 'dir/pipe 5:6 600 1 fifo 1000000000',
    expect.stringMatching(/^kept 0:0 644 1 regular file/), expect.stringMatching(/^owned 8:9 755 3 directory/),
    'owned/dir 8:9 2750 2 directory 1000000000', 'owned/dir/again 8:9 644 2 regular file 1000000000', 'owned/dir/file 8:9 644 2 regular file 1000000000',
    'owned/dir/link 8:9 777 1 symbolic link 1000000000', 'owned/dir/pipe 8:9 600 1 fifo 1000000000',
    expect.stringMatching(/^packed 0:0 644 1 regular file/),
  ])
})

test('an archive that is cut off is an error, not a part of an archive', async () => {
  const context = join(workshop.directory, 'cut')
  mkdirSync(context)
  execFileSync('tar', ['-czf', join(context, 'whole.tar.gz'), '-C', '/usr/bin', 'env'])
  execFileSync('sh', ['-c', 'head -c 8000 whole.tar.gz > cut.tar.gz'], { cwd: context })
  await expect(build({ context, dockerfile: 'FROM busybox\nADD cut.tar.gz /x/' })).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_MAYFLY_(BUILD_FAILED|LAYER_INVALID)$/) as string })
})

/** A server on loopback for as long as `work` takes. */
async function serving<T>(answer: (path: string) => Buffer | undefined, work: (url: string) => Promise<T>): Promise<T> {
  const server: Server = createServer((request, response) => {
    const body = answer(request.url ?? '')
    response.writeHead(body === undefined ? 404 : 200, { 'last-modified': 'Sun, 09 Sep 2001 01:46:40 GMT', connection: 'close' }).end(body)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  try {
    return await work(`http://127.0.0.1:${(server.address() as { port: number }).port}`)
  } finally {
    server.close()
  }
}

test('ADD of a URL: checked by --checksum, named by the URL, unpacked only when asked', async () => {
  const archive = execFileSync('tar', ['-cz', '-C', '/etc', 'hostname'])
  const sum = createHash('sha256').update(archive).digest('hex')
  await serving((path) => (path === '/a.tgz' ? archive : undefined), async (url) => {
    const { name } = await made(`FROM busybox\nADD --checksum=sha256:${sum} ${url}/a.tgz /x/\nADD --unpack=true ${url}/a.tgz /x/`)
    expect(await listing(name, '%n %a %Y')).toEqual([`a.tgz 600 1000000000`, expect.stringMatching(/^hostname \d+ \d+/)])
    await expect(made(`FROM busybox\nADD --checksum=sha256:${'0'.repeat(64)} ${url}/a.tgz /x/`)).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
    await expect(made(`FROM busybox\nADD ${url}/missing /x/`)).rejects.toMatchObject({ message: expect.stringContaining('404') as string })
  })
})

test('contexts from elsewhere: a tar or a Dockerfile behind a URL', async () => {
  const directory = join(workshop.directory, 'served')
  mkdirSync(directory)
  writeFileSync(join(directory, 'Other'), 'FROM busybox\nCOPY here /x/')
  writeFileSync(join(directory, 'here'), '')
  const archive = execFileSync('tar', ['-c', '-C', directory, '.'])
  await serving((path) => (path === '/context.tar' ? archive : Buffer.from('FROM busybox\nRUN mkdir -p /x/alone')), async (url) => {
    await build({ context: `${url}/context.tar`, file: 'Other', tags: ['served-tar'] })
    expect(await listing('served-tar')).toEqual(['here'])
    await build({ context: `${url}/Dockerfile`, tags: ['served-file'] })
    expect(await listing('served-file')).toEqual(['alone'])
  })
})

test('git repositories, as context and for ADD', async () => {
  const daemon = ['/usr/lib/git-core/git-daemon', '/usr/libexec/git-core/git-daemon'].find((path) => existsSync(path))
  if (daemon === undefined) return void process.stderr.write('skipped: there is no git daemon here\n')
  const base = join(workshop.directory, 'git')
  const repository = join(base, 'project.git')
  mkdirSync(join(repository, 'part'), { recursive: true })
  const git = (...words: string[]): string => execFileSync('git', ['-C', repository, '-c', 'user.name=a', '-c', 'user.email=a@b', ...words], { encoding: 'utf8' }).trim()
  git('init', '-q', '-b', 'main')
  writeFileSync(join(repository, 'Dockerfile'), 'FROM busybox\nCOPY . /x/')
  writeFileSync(join(repository, 'part/Dockerfile'), 'FROM busybox\nCOPY inner /x/')
  writeFileSync(join(repository, 'part/inner'), '')
  execFileSync('ln', ['-s', '/etc', join(repository, 'evil')])
  git('add', '.')
  git('commit', '-qm', 'one')
  git('tag', 'v1')
  const commit = git('rev-parse', 'HEAD')
  writeFileSync(join(repository, 'later'), '')
  git('add', '.')
  git('commit', '-qm', 'two')
  const port = await freePort()
  const child = spawn(daemon, ['--listen=127.0.0.1', `--port=${String(port)}`, '--export-all', `--base-path=${base}`, base], { stdio: 'ignore' })
  try {
    await until(() => reached(port))
    const url = `git://127.0.0.1:${String(port)}/project.git`
    await build({ context: url, tags: ['git-head'] })
    expect(await listing('git-head')).toEqual(['Dockerfile', 'evil', 'later', 'part', 'part/Dockerfile', 'part/inner'])
    await build({ context: `${url}#v1:part`, tags: ['git-part'] })
    expect(await listing('git-part')).toEqual(['inner'])
    const { name } = await made(`FROM busybox\nADD --checksum=${commit} ${url}#v1:part /x/`)
    expect(await listing(name)).toEqual(['Dockerfile', 'inner'])
    expect(await listing((await made(`FROM busybox\nADD --keep-git-dir=true ${url}#v1 /x/`)).name)).toContain('.git/HEAD')
    await expect(made(`FROM busybox\nADD --checksum=${commit} ${url} /x/`)).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
    await expect(made(`FROM busybox\nADD ${url}#v1:evil /x/`)).rejects.toMatchObject({ code: 'ERR_MAYFLY_DOCKERFILE_INVALID' })
    await expect(build({ context: `${url}#nothing` })).rejects.toMatchObject({ code: 'ERR_MAYFLY_BUILD_FAILED' })
  } finally {
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('close', resolve))
  }
})

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createSocket().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

async function reached(port: number): Promise<boolean> {
  const { connect } = await import('node:net')
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => { socket.destroy(); resolve(true) }).once('error', () => resolve(false))
  })
}
