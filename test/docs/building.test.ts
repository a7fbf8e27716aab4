// The code of docs/building.md.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from '@mayfly/core'
import { beforeAll, expect, test } from 'vitest'
import { printed, useWorkshop } from '../build/workshop.js'

const workshop = useWorkshop()
const page = readFileSync(fileURLToPath(new URL('../../docs/building.md', import.meta.url)), 'utf8')
let context: string
beforeAll(() => {
  context = join(workshop.directory, 'greeter')
  mkdirSync(context)
  writeFileSync(join(context, 'Dockerfile'), blocks('dockerfile')[0] ?? '')
})

function blocks(language: string): readonly string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, text = '']) => text)
}

test('the example', async () => {
  const { id, digest, tags } = await build({ context, tags: ['greeter:1'], buildArgs: { WHO: 'world' } })
  expect([id, digest, ...tags]).toEqual([expect.stringMatching(/^sha256:/), expect.stringMatching(/^sha256:/), 'greeter:1'])
  expect(await printed('greeter:1')).toEqual(['hello world', 'made by stages'])
})

test('the same inputs', async () => {
  const first = await build({ context, noCache: true, buildArgs: { SOURCE_DATE_EPOCH: '1700000000' } })
  const second = await build({ context, noCache: true, buildArgs: { SOURCE_DATE_EPOCH: '1700000000' } })
  expect(second.digest).toBe(first.digest)
})

test('secrets', async () => {
  const dockerfile = 'FROM busybox\nRUN --mount=type=secret,id=token,env=TOKEN test "$TOKEN" = "a secret"'
  await build({ context, dockerfile, secrets: { token: { value: 'a secret' } } })
  await expect(build({ context, dockerfile, noCache: true })).rejects.toMatchObject({ code: 'ERR_MAYFLY_DOCKERFILE_INVALID' })
})

test('an error', async () => {
  await expect(build({ context, dockerfile: 'FROM busybox\nRUNN true' })).rejects.toMatchObject({ message: blocks('text')[0]?.trimEnd() })
})
