import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { credentialsFor, type Credentials } from '../../src/registry/credentials.js'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mayfly-helpers-'))
})
afterEach(() => { rmSync(directory, { recursive: true }) })

/** A program that keeps credentials, as Docker calls it: `get` with a server on standard input. */
function helper(name: string, script: string): void {
  const path = join(directory, `docker-credential-${name}`)
  writeFileSync(path, `#!/bin/sh\nserver=$(cat)\n${script}\n`)
  chmodSync(path, 0o755)
}

function knows(user: string): string {
  return `printf '{"ServerURL":"%s","Username":"${user}","Secret":"for %s"}' "$server" "$server"`
}

function find(config: object, host: string, repository = ''): Promise<Credentials | undefined> {
  mkdirSync(join(directory, 'docker'), { recursive: true })
  writeFileSync(join(directory, 'docker/config.json'), JSON.stringify(config))
  return credentialsFor(host, repository, { DOCKER_CONFIG: join(directory, 'docker'), XDG_CONFIG_HOME: directory, HOME: directory, PATH: `${directory}${delimiter}${process.env['PATH'] ?? ''}` })
}

const entry = (user: string): { auth: string } => ({ auth: Buffer.from(`${user}:p`).toString('base64') })

describe('a helper', () => {
  test('for the host comes before its entry, and that before the helper for all', async () => {
    helper('own', knows('own'))
    helper('all', knows('all'))
    const config = { credHelpers: { 'a.example': 'own' }, auths: { 'a.example': entry('file'), 'b.example': entry('file'), 'c.example:5000': {} }, credsStore: 'all' }
    expect(await find(config, 'a.example')).toEqual({ username: 'own', password: 'for a.example' })
    expect(await find(config, 'b.example')).toEqual({ username: 'file', password: 'p' })
    // As Docker's login leaves it: the entry says no more than that there is one.
    expect(await find(config, 'c.example:5000')).toEqual({ username: 'all', password: 'for c.example:5000' })
    expect(await find(config, 'docker.io', 'library/app')).toEqual({ username: 'all', password: 'for https://index.docker.io/v1/' })
  })

  test('may give a token, or know nothing, whereupon the next file is asked', async () => {
    helper('tokens', knows('<token>'))
    expect(await find({ credsStore: 'tokens' }, 'a.example')).toEqual({ username: '', password: '', identityToken: 'for a.example' })
    helper('empty', 'echo credentials not found in native keychain; exit 1')
    expect(await find({ credsStore: 'empty' }, 'a.example')).toBeUndefined()
    mkdirSync(join(directory, 'containers'))
    writeFileSync(join(directory, 'containers/auth.json'), JSON.stringify({ auths: { 'a.example': entry('next') } }))
    expect(await find({ credsStore: 'empty' }, 'a.example')).toEqual({ username: 'next', password: 'p' })
  })

  test.each([
    ['that fails', 'broken', 'echo the vault is sealed >&2; exit 1', 'the vault is sealed'],
    ['that is killed', 'killed', 'kill -9 $$', 'it was ended by SIGKILL'],
    ['that does not speak JSON', 'words', 'echo ann:s3cret', 'it did not answer in JSON'],
    ['that names nobody', 'nobody', 'echo "{}"', 'it names no user'],
    ['that is not there', 'missing', '', 'docker-credential-missing is not on the PATH'],
    ['whose name is a path', '../evil', '', 'its name is none'],
  ])('%s is told by name, and what it said in secret is not', async (_, name, script, why) => {
    if (script !== '') helper(name, script)
    const error: unknown = await find({ credHelpers: { 'a.example': name } }, 'a.example').catch((one: unknown) => one)
    expect(error).toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAUTHORIZED', message: expect.stringMatching(`helper ${name} failed to get.*: ${why}`) as string })
    expect(JSON.stringify(error) + String(error)).not.toContain('s3cret')
  })
})

test('entries have the names that Docker gave them over the years, and values of every kind', async () => {
  const names = ['https://a.example/v1/', 'http://a.example', 'https://a.example/v2/', 'a.example/']
  for (const name of names) expect([name, await find({ auths: { [name]: entry('ann') } }, 'a.example')]).toEqual([name, { username: 'ann', password: 'p' }])
  for (const name of ['docker.io', 'index.docker.io', 'https://index.docker.io/v1/', 'registry-1.docker.io']) expect([name, (await find({ auths: { [name]: entry('ann') } }, 'docker.io'))?.username]).toEqual([name, 'ann'])
  expect(await find({ auths: { 'a.example': { auth: Buffer.from('ann:p\0\0').toString('base64') } } }, 'a.example')).toEqual({ username: 'ann', password: 'p' })
  expect(await find({ auths: { 'a.example': { auth: Buffer.from('ann:a:b').toString('base64'), email: 'x' } } }, 'a.example')).toEqual({ username: 'ann', password: 'a:b' })
  for (const none of [null, 7, [], {}, { auth: 7 }, { auth: '' }, { username: 'ann' }]) expect(await find({ auths: { 'a.example': none } }, 'a.example')).toBeUndefined()
  for (const none of [{ auths: null }, { auths: [] }, { credHelpers: 'x' }, { credsStore: 7 }, [], 'x']) expect(await find(none as object, 'a.example')).toBeUndefined()
})
