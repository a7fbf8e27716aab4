import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import type { Server } from '../../src/services/presets/types.js'
import { standingIn, stateOf } from './stand-in.js'

type Item = Record<string, unknown>
/** `master/users/1` and so on: what stands at each path below /admin/realms. */
type World = Map<string, Item | Item[]>

/** Answers as the administrators' interface is documented: lists and single items below a realm's path. */
async function standIn(world: World): Promise<{ readonly server: Server; readonly asked: string[] }> {
  const asked: string[] = []
  const listener = createServer((request, response) => {
    let body = ''
    request.on('data', (text: Buffer) => { body += text.toString() })
    request.on('end', () => {
      const { method = '', headers } = request
      const { pathname } = new URL(request.url ?? '', 'http://x')
      const say = (status: number, value?: unknown): void => void response.writeHead(status, { 'content-type': 'application/json' }).end(value === undefined ? '' : JSON.stringify(value))
      if (pathname === '/realms/master/protocol/openid-connect/token') {
        const form = Object.fromEntries(new URLSearchParams(body))
        return headers['content-type']?.startsWith('application/x-www-form-urlencoded') === true && form['password'] === 'pass' && form['client_id'] === 'admin-cli' ? say(200, { access_token: 'token' }) : say(401, { error: 'invalid_grant' })
      }
      if (headers.authorization !== 'Bearer token') return say(401, {})
      const path = decodeURIComponent(pathname).replace(/^\/admin\/realms\/?/, '')
      if (method !== 'GET') asked.push(`${method} ${path}`)
      if (method === 'DELETE') for (const one of [...world.keys()]) if (one === path || one.startsWith(`${path}/`)) world.delete(one)
      if (method === 'PUT') world.set(path, JSON.parse(body) as Item)
      if (method === 'POST') {
        const item = JSON.parse(body) as Item
        world.set(`${path}/${String(item['alias'] ?? item['id'])}`, item)
      }
      if (method !== 'GET') return say(204)
      if (world.has(path)) return say(200, world.get(path))
      const list = [...world].filter(([one]) => (path === '' ? !one.includes('/') : one.startsWith(`${path}/`) && !one.slice(path.length + 1).includes('/'))).map(([, item]) => item)
      return say(200, list)
    })
  })
  return { server: await standingIn(listener, { KC_BOOTSTRAP_ADMIN_USERNAME: 'admin', KC_BOOTSTRAP_ADMIN_PASSWORD: 'pass' }), asked }
}

const prepared = (): World => new Map<string, Item | Item[]>([
  ['master', { realm: 'master' }],
  ['shop', { realm: 'shop', displayName: 'Shop' }],
  ['shop/clients/c1', { id: 'c1', clientId: 'web', secret: 's' }],
  ['shop/identity-provider/instances/github', { alias: 'github' }],
  ['shop/roles/buyer', { id: 'r1', name: 'buyer' }],
  ['shop/users/u1', { id: 'u1', username: 'alice', email: 'a@b' }],
  ['shop/users/u1/credentials', [{ id: 'k1', type: 'password', createdDate: 1 }]],
  ['shop/users/u1/role-mappings', { realmMappings: [{ id: 'r1' }] } as Item],
])

const state = stateOf('keycloak')

test('Keycloak: what was made since goes, what was changed or deleted is as it was', async () => {
  const world = prepared()
  const { server, asked } = await standIn(world)
  await state.keep?.(server)
  expect(asked).toEqual([])
  world.set('other', { realm: 'other' })
  world.set('shop', { realm: 'shop', displayName: 'Changed' })
  world.set('shop/users/u2', { id: 'u2', username: 'bob' })
  world.set('shop/users/u1', { id: 'u1', username: 'alice', email: 'changed' })
  world.set('shop/groups/g1', { id: 'g1', name: 'new' })
  world.set('shop/roles/a b', { id: 'r2', name: 'a b' })
  world.delete('shop/clients/c1')
  world.delete('shop/identity-provider/instances/github')
  await state.restore(server)
  expect(new Map([...world].sort())).toEqual(new Map([...prepared()].sort()))
  asked.length = 0
  await state.restore(server)
  expect(asked).toEqual([])
})

test.each<[string, (world: World) => unknown, string]>([
  ['a password', world => world.set('shop/users/u1/credentials', [{ id: 'k2', type: 'password', createdDate: 2 }]), 'users (passwords, roles or groups) of realm shop: alice'],
  ['a user', world => world.delete('shop/users/u1'), 'users of realm shop: alice'],
  ['a role', world => world.delete('shop/roles/buyer'), 'roles of realm shop: buyer'],
  ['a realm', world => world.delete('shop'), 'realm shop'],
])('what Keycloak cannot bring back, %s, is an error that names it', async (_, harm, said) => {
  const world = prepared()
  const { server } = await standIn(world)
  await state.keep?.(server)
  harm(world)
  await expect(state.restore(server)).rejects.toMatchObject({ code: 'ERR_MAYFLY_RESET_FAILED', message: expect.stringContaining(said) as string })
})
