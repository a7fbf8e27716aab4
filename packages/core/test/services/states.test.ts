import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import type { Server } from '../../src/services/presets/types.js'
import { standingIn, stateOf } from './stand-in.js'

/** A server that answers as the image's documentation says, and what it was asked. */
async function standIn(answers: Readonly<Record<string, unknown>>): Promise<{ readonly server: Server; readonly asked: string[] }> {
  const asked: string[] = []
  const listener = createServer((request, response) => {
    let body = ''
    request.on('data', (text: Buffer) => { body += text.toString() })
    request.on('end', () => {
      const call = `${request.method ?? ''} ${decodeURIComponent(request.url ?? '')}`
      asked.push(body === '' ? call : `${call} ${body}`)
      const answer = answers[call] ?? { acknowledged: true }
      response.writeHead(answer === 'refused' ? 409 : 200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    })
  })
  return { server: await standingIn(listener), asked }
}

const LIST = 'GET /_cat/indices?format=json&h=index&expand_wildcards=all'

test.each(['elasticsearch', 'opensearch'] as const)('%s clones every index, and goes back by cloning from those', async (name) => {
  const first = await standIn({ [LIST]: [{ index: 'books' }, { index: '.own' }], 'GET /books/_alias': { books: { aliases: { shelf: {} } } } })
  await stateOf(name).keep?.(first.server)
  expect(first.asked).toEqual([
    LIST, 'GET /books/_alias', 'PUT /books/_settings {"index.blocks.write":true}',
    'POST /books/_clone/mayfly-kept-books {"settings":{"index.hidden":true}}', 'PUT /books/_settings {"index.blocks.write":null}',
    'PUT /mayfly-kept {"settings":{"index":{"hidden":true,"number_of_replicas":0}},"mappings":{"enabled":false}}',
    'PUT /mayfly-kept/_doc/state?refresh=true {"indices":{"books":{"aliases":{"shelf":{}}}}}',
  ])
  const then = await standIn({
    [LIST]: [{ index: 'books' }, { index: 'new' }, { index: '.own' }, { index: 'mayfly-kept' }, { index: 'mayfly-kept-books' }],
    'GET /mayfly-kept/_source/state': { indices: { books: { aliases: { shelf: {} } } } },
  })
  await stateOf(name).restore(then.server)
  expect(then.asked).toEqual([
    LIST, 'GET /mayfly-kept/_source/state', 'DELETE /books,new', 'PUT /mayfly-kept-books/_settings {"index.blocks.write":true}',
    'POST /mayfly-kept-books/_clone/books {"settings":{"index.hidden":null,"index.blocks.write":null},"aliases":{"shelf":{}}}',
  ])
})

test.each([
  ['elasticsearch', [LIST, 'DELETE /new'], { [LIST]: [{ index: 'new' }, { index: '.own' }] }],
  ['mailpit', ['DELETE /api/v1/messages'], {}],
  ['localstack', ['POST /_localstack/state/reset'], {}],
] as const)('%s that was not prepared is emptied', async (name, expected, answers) => {
  const { server, asked } = await standIn(answers)
  expect(stateOf(name).beginsEmpty).toBe(true)
  await stateOf(name).restore(server)
  expect(asked).toEqual(expected)
})

test('a server that refuses is an error with its words', async () => {
  const { server } = await standIn({ 'DELETE /api/v1/messages': 'refused' })
  await expect(stateOf('mailpit').restore(server)).rejects.toMatchObject({ code: 'ERR_MAYFLY_RESET_FAILED', message: expect.stringContaining('DELETE /api/v1/messages: 409 "refused"') as string })
})
