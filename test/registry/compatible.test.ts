import { execFile } from 'node:child_process'
import { accessSync, constants, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { openStore, pullImage, pushImage, tagImage } from '../../packages/core/src/images/index.js'
import { parseReference } from '../../packages/core/src/reference.js'
import { credentialsFor, login, logout } from '../../packages/core/src/registry/index.js'
import { fakeRegistry, tar } from '../../packages/core/test/images/fixture.js'
import { startRegistry } from '../images/registry.mjs'

/**
 * Other tools that keep credentials, each by the words to log in and out, and to look at an image that only who is logged in may see,
 * or at who that is.
 */
const TOOLS: Readonly<Record<string, { login(host: string): string[], logout(host: string): string[], look(image: string): string[] }>> = {
  docker: {
    login: (host) => ['login', '-u', user.username, '--password-stdin', host],
    logout: (host) => ['logout', host],
    look: (image) => ['manifest', 'inspect', '--insecure', image],
  },
  podman: {
    login: (host) => ['login', '--tls-verify=false', '-u', user.username, '--password-stdin', host],
    logout: (host) => ['logout', host],
    look: (image) => ['login', '--get-login', image.replace(/\/.*/, '')],
  },
  skopeo: {
    login: (host) => ['login', '--tls-verify=false', '-u', user.username, '--password-stdin', host],
    logout: (host) => ['logout', host],
    look: (image) => ['inspect', '--tls-verify=false', '--raw', `docker://${image}`],
  },
}
const user = { username: 'ann', password: 'pa:ss wörd' }
const before = { ...process.env }
let directory: string
let registry: Awaited<ReturnType<typeof startRegistry>>
let count = 0

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mayfly-compatible-'))
  mkdirSync(join(directory, 'storage'))
  registry = await startRegistry({ storage: join(directory, 'storage'), htpasswd: { user: user.username, password: user.password } })
  const source = await fakeRegistry()
  freshHome()
  await login(registry.host, user)
  const store = await openStore(join(directory, 'store'))
  source.add('app', '1', [tar([{ name: 'a', content: 'a' }])])
  await pullImage(store, parseReference(`${source.host}/app:1`))
  await tagImage(store, parseReference(`${source.host}/app:1`), parseReference(`${registry.host}/team/app:1`))
  await pushImage(store, parseReference(`${registry.host}/team/app:1`))
  await source.close()
})
afterAll(async () => {
  process.env = before
  await registry.close()
  rmSync(directory, { recursive: true })
})
beforeEach(() => { freshHome() })

/** Where nobody has logged in yet. */
function freshHome(): void {
  const home = join(directory, `home-${String(count += 1)}`)
  mkdirSync(join(home, 'run'), { recursive: true, mode: 0o700 })
  process.env = { ...before, HOME: home, XDG_RUNTIME_DIR: join(home, 'run'), XDG_CONFIG_HOME: join(home, '.config'), DOCKER_CONFIG: join(home, '.docker'), DOCKER_HOST: 'unix:///nowhere' }
  delete process.env['REGISTRY_AUTH_FILE']
}

function run(program: string, words: readonly string[], input = ''): Promise<{ code: number, output: string }> {
  return new Promise((resolve) => {
    const child = execFile(program, words, { env: process.env, timeout: 60_000 }, (error, stdout, stderr) => { resolve({ code: error === null ? 0 : 1, output: `${stdout}${stderr}` }) })
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
  })
}

for (const [name, words] of Object.entries(TOOLS)) {
  const there = (process.env['PATH'] ?? '').split(delimiter).some((place) => {
    try {
      accessSync(join(place, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
  if (!there) process.stderr.write(`logins are not compared with ${name}'s: it is not installed\n`)
  describe.skipIf(!there)(name, { timeout: 90_000 }, () => {
    test('finds what login kept, and not what logout forgot', async () => {
      const image = `${registry.host}/team/app:1`
      expect(await run(name, words.look(image))).toMatchObject({ code: 1 })
      const { kept } = await login(registry.host, user)
      expect(statSync('file' in kept ? kept.file : '').mode & 0o777).toBe(0o600)
      const seen = await run(name, words.look(image))
      expect(seen, seen.output).toMatchObject({ code: 0 })
      expect(seen.output).toMatch(/"layers"|^ann$/m)
      await logout(registry.host)
      expect(await run(name, words.look(image))).toMatchObject({ code: 1 })
    })

    test('logs in for us, and out', async () => {
      const told = await run(name, words.login(registry.host), user.password)
      expect(told, told.output).toMatchObject({ code: 0 })
      expect(await credentialsFor(registry.host, 'team/app')).toEqual(user)
      const store = await openStore(join(process.env['HOME'] ?? '', 'store'))
      expect((await pullImage(store, parseReference(`${registry.host}/team/app:1`))).layers).toHaveLength(1)
      expect(await run(name, words.logout(registry.host))).toMatchObject({ code: 0 })
      expect(await credentialsFor(registry.host, 'team/app')).toBeUndefined()
    })

    test('keeps what else stands in the file that login and logout write', async () => {
      await run(name, words.login(registry.host), user.password)
      await login(registry.host, user)
      await logout(registry.host)
      const text = readFileSync(join(process.env['DOCKER_CONFIG'] ?? '', 'config.json'), 'utf8')
      expect(JSON.parse(text)).toMatchObject({ auths: {} })
    })
  })
}
