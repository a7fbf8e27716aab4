import { isDeepStrictEqual } from 'node:util'
import { MayflyError } from '../../errors.js'
import { ask, inContainer } from './tools.js'
import type { Server, StateKeeping } from './types.js'

const PORT = 8080
const KEPT = '/var/lib/mayfly'
const MANY = 'max=2147483647&briefRepresentation=false'

type Item = Readonly<Record<string, unknown>>
/** By what the server calls it in its paths. */
type Items = Readonly<Record<string, Item>>
/** By name, every realm's own words and what it has. */
type Realms = Readonly<Record<string, { readonly realm: Item; readonly has: Readonly<Record<string, Items>> }>>

/** What a realm has. `again`: made anew as it was when somebody deleted it; of the others the server keeps secrets, or gives new ids. */
const COLLECTIONS = [
  { path: 'clients', id: 'id', again: true },
  { path: 'client-scopes', id: 'id', again: true },
  { path: 'identity-provider/instances', id: 'alias', again: true },
  { path: 'roles', id: 'name', again: false },
  { path: 'groups', id: 'id', again: false },
  { path: 'users', id: 'id', again: false },
] as const
/** What a user has that stands nowhere else. */
const OF_USERS = ['credentials', 'role-mappings', 'groups']

/**
 * By the administrators' interface: what was made since goes, what was changed is as it was. Passwords come from nowhere: where
 * one was changed, or a user, group or role is gone, this fails, and so another instance takes the place. Sessions live on.
 */
export const keycloakState: StateKeeping = {
  keep: async server => {
    const realms = await realmsOf(await openAdmin(server))
    await inContainer(server.container, `set -e; umask 077; mkdir -p ${KEPT}; cat > ${KEPT}/keycloak.json`, { input: JSON.stringify(realms) })
  },
  restore: async server => {
    const kept = JSON.parse(await inContainer(server.container, `cat ${KEPT}/keycloak.json`)) as Realms
    const admin = await openAdmin(server)
    for (const name of await namesOf(admin)) if (kept[name] === undefined) await admin(`/${at(name)}`, 'DELETE')
    const before = await realmsOf(admin)
    for (const [name, { realm, has }] of Object.entries(kept)) {
      const now = before[name]
      if (now === undefined) throw lost([`realm ${name}`])
      for (const { path, again } of COLLECTIONS) await restoreItems(admin, `/${at(name)}/${path}`, has[path] ?? {}, now.has[path] ?? {}, again)
      if (!isDeepStrictEqual(now.realm, realm)) await admin(`/${at(name)}`, 'PUT', realm)
    }
    const left = differences(kept, await realmsOf(admin))
    if (left.length > 0) throw lost(left)
  },
}

type Admin = (path: string, method?: string, body?: object) => Promise<unknown>

async function openAdmin({ container, env }: Server): Promise<Admin> {
  const base = container.urlOf(PORT)
  // The older names are those of images before 26.
  const username = env['KEYCLOAK_ADMIN'] ?? env['KC_BOOTSTRAP_ADMIN_USERNAME'] ?? ''
  const password = env['KEYCLOAK_ADMIN_PASSWORD'] ?? env['KC_BOOTSTRAP_ADMIN_PASSWORD'] ?? ''
  const form = new URLSearchParams({ grant_type: 'password', client_id: 'admin-cli', username, password })
  let token: { readonly text: string; readonly until: number } | undefined
  return async (path, method = 'GET', body) => {
    // It holds for a minute.
    if (token === undefined || Date.now() > token.until) {
      const { access_token: text } = await ask(base, '/realms/master/protocol/openid-connect/token', 'POST', form) as { readonly access_token: string }
      token = { text, until: Date.now() + 30_000 }
    }
    return await ask(base, `/admin/realms${path}`, method, body, { authorization: `Bearer ${token.text}` })
  }
}

async function namesOf(admin: Admin): Promise<readonly string[]> {
  return (await admin('?briefRepresentation=true') as readonly { readonly realm: string }[]).map(({ realm }) => realm)
}

async function realmsOf(admin: Admin): Promise<Realms> {
  const realms: Record<string, Realms[string]> = {}
  for (const name of await namesOf(admin)) {
    const lists = await Promise.all(COLLECTIONS.map(async ({ path, id }) => {
      const list = await admin(`/${at(name)}/${path}?${MANY}`) as readonly Item[]
      return [path, Object.fromEntries(list.map(item => [String(item[id]), item]))] as const
    }))
    const has = Object.fromEntries(lists)
    const details: Record<string, Item> = {}
    for (const user of Object.keys(has['users'] ?? {})) {
      const found = await Promise.all(OF_USERS.map(async what => [what, await admin(`/${at(name)}/users/${at(user)}/${what}`)] as const))
      details[user] = Object.fromEntries(found)
    }
    realms[name] = { realm: await admin(`/${at(name)}`) as Item, has: { ...has, [DETAILS]: details } }
  }
  return realms
}

const DETAILS = 'users (passwords, roles or groups)'

async function restoreItems(admin: Admin, path: string, kept: Items, now: Items, again: boolean): Promise<void> {
  for (const id of Object.keys(now)) if (kept[id] === undefined) await admin(`${path}/${at(id)}`, 'DELETE')
  for (const [id, item] of Object.entries(kept)) {
    const there = now[id]
    if (there === undefined && again) await admin(path, 'POST', item)
    if (there !== undefined && !isDeepStrictEqual(there, item)) await admin(`${path}/${at(id)}`, 'PUT', item)
  }
}

/** What is not as it was, in the words of whoever uses it. */
function differences(kept: Realms, now: Realms): readonly string[] {
  return Object.entries(kept).flatMap(([name, { realm, has }]) => [
    ...isDeepStrictEqual(now[name]?.realm, realm) ? [] : [`settings of realm ${name}`],
    ...Object.entries(has).flatMap(([what, items]) => Object.entries(items)
      .filter(([id, item]) => !isDeepStrictEqual(now[name]?.has[what]?.[id], item))
      .map(([id]) => `${what} of realm ${name}: ${nameOf(has, what, id)}`)),
  ])
}

function nameOf(has: Readonly<Record<string, Items>>, what: string, id: string): string {
  const item = has[what === DETAILS ? 'users' : what]?.[id] ?? {}
  return String(item['username'] ?? item['clientId'] ?? item['name'] ?? id)
}

function lost(what: readonly string[]): MayflyError {
  return new MayflyError('ERR_MAYFLY_RESET_FAILED', `A service's state could not be brought back: Keycloak has no way to restore ${what.join('; ')}`, { details: { lost: what } })
}

function at(name: string): string {
  return encodeURIComponent(name)
}
