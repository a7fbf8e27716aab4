import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fileOf, made, useWorkshop } from './workshop.js'

const workshop = useWorkshop()

/** Two stages that are built at the same time, and one that wants both. */
const both = (run: (name: string) => string): string => `
FROM busybox AS one
RUN ${run('one')}
FROM busybox AS two
RUN ${run('two')}
FROM busybox
COPY --from=one /log /one
COPY --from=two /log /two`

test('a locked cache is one RUN\'s after the other\'s', async () => {
  const { name } = await made(both((stage) => `--mount=type=cache,id=locked,target=/c,sharing=locked echo ${stage} in >> /c/log && usleep 100000 && echo ${stage} out >> /c/log && cp /c/log /log`))
  const lines = [await fileOf(name, '/one'), await fileOf(name, '/two')].sort((a = '', b = '') => a.length - b.length)[1]?.trim().split('\n') ?? []
  expect([['one in', 'one out', 'two in', 'two out'], ['two in', 'two out', 'one in', 'one out']]).toContainEqual(lines)
})

test('a private cache is each RUN\'s own while another has it, and the same again afterwards', async () => {
  const dockerfile = both((stage) => `--mount=type=cache,id=private,target=/c,sharing=private --mount=type=cache,id=meeting,target=/m touch /m/${stage} && while [ $(ls /m | wc -l) -lt 2 ]; do usleep 10000; done && echo ${stage} >> /c/log && cp /c/log /log`)
  const { name } = await made(dockerfile)
  expect([await fileOf(name, '/one'), await fileOf(name, '/two')]).toEqual(['one\n', 'two\n'])
  const again = await made('FROM busybox\nRUN --mount=type=cache,id=private,target=/c,sharing=private echo again >> /c/log && cp /c/log /log')
  expect(await fileOf(again.name, '/log')).toMatch(/^(one|two)\nagain\n$/)
})

test('a cache begins with what from and source name, and has the owner and mode it is given', async () => {
  const { name } = await made(`
FROM busybox AS files
RUN mkdir -p /seed/deep && echo seed > /seed/deep/file
FROM busybox
RUN --mount=type=cache,id=seeded,from=files,source=/seed,target=/c,uid=5,gid=6,mode=750 cat /c/deep/file > /out && stat -c '%a %u:%g' /c >> /out && rm -r /c/deep
RUN --mount=type=cache,id=seeded,from=files,source=/seed,target=/c ls -A /c >> /out`)
  expect(await fileOf(name, '/out')).toBe('seed\n750 5:6\n')
})

test('tmpfs with a size, targets by the working directory and by variables', async () => {
  const { name } = await made(`FROM busybox
ARG WHERE=there
WORKDIR /work
RUN --mount=type=tmpfs,target=small,size=1m --mount=type=bind,source=a,target=$WHERE/a df -k small | awk 'NR==2 {print $2}' > /out && cat there/a >> /out`, { a: 'a\n' })
  expect(await fileOf(name, '/out')).toBe('1024\na\n')
})

test('an ssh agent is reached through its socket, which is no part of the image', async () => {
  const socket = join(workshop.directory, 'agent')
  const server = createServer((connection) => { connection.end('agent\n') })
  await new Promise<void>((resolve) => { server.listen(socket, resolve) })
  try {
    const dockerfile = 'FROM busybox\nRUN --mount=type=ssh,id=mine echo $SSH_AUTH_SOCK > /out && test -S $SSH_AUTH_SOCK'
    const { name } = await made(dockerfile, {}, { ssh: { mine: socket } })
    expect(await fileOf(name, '/out')).toBe('/run/buildkit/ssh_agent.0\n')
    expect(await fileOf(name, '/run/buildkit/ssh_agent.0')).toBeUndefined()
  } finally {
    await new Promise((resolve) => { server.close(resolve) })
  }
})

test('--network=none has no way anywhere', async () => {
  const { name } = await made('FROM busybox\nRUN --network=none ip -o link | wc -l > /out')
  expect(await fileOf(name, '/out')).toBe('1\n')
})
