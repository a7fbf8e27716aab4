import { createServer, type AddressInfo } from 'node:net'
import { run } from '@mayfly/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { failure, nothingLeft, openPlace, type Place } from '../place.js'

let place: Place

beforeAll(async () => {
  place = await openPlace()
})

afterAll(() => place.close())

describe('an image that is not there', () => {
  test('unknown name', async () => {
    const error = await failure(run('busybos'))
    expect(error).toMatchObject({
      code: 'ERR_MAYFLY_IMAGE_NOT_FOUND',
      message: `${place.registry.host} has no image library/busybos`,
      hint: 'Check the name for typing errors.',
    })
    await nothingLeft()
  })

  test('unknown tag: those there are', async () => {
    const error = await failure(run('redis:7.9'))
    expect(error).toMatchObject({
      code: 'ERR_MAYFLY_IMAGE_NOT_FOUND',
      message: `${place.registry.host} has no image library/redis with tag "7.9"`,
      hint: expect.stringMatching(/^It has the tags "7\.0", "7\.0-bookworm", "7"/) as string,
    })
    await nothingLeft()
  })

  test('with pulling switched off', async () => {
    expect(await failure(run('httpd', { pull: 'never' }))).toMatchObject({
      code: 'ERR_MAYFLY_IMAGE_NOT_FOUND',
      message: 'The image docker.io/library/httpd:latest is not in the store, and pulling is switched off',
      hint: 'Pull it first: mayfly pull httpd',
    })
    await nothingLeft()
  })

  test('on the command line, where Docker ends with 125, or with 1 what is no run', async () => {
    expect(await place.mayfly(['run', '--rm', 'busybos'])).toEqual({
      code: 125, stdout: '',
      stderr: `mayfly: ${place.registry.host} has no image library/busybos (ERR_MAYFLY_IMAGE_NOT_FOUND)\nCheck the name for typing errors.\n`,
    })
    expect(await place.mayfly(['pull', 'redis:7.9'])).toMatchObject({ code: 1, stderr: expect.stringContaining('It has the tags') as string })
  })
})

describe('a registry that is down', () => {
  test('is not an image that does not exist', async () => {
    const closed = await closedPort()
    const error = await failure(run(`127.0.0.1:${closed}/app`))
    expect(error).toMatchObject({
      code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE',
      message: `Cannot reach the registry at http://127.0.0.1:${closed}: nobody listens there (ECONNREFUSED)`,
      hint: 'Check the network and any proxy; MAYFLY_REGISTRY_MIRROR names a mirror to ask instead of Docker Hub.',
    })
    await nothingLeft()
  })

  test('on the command line', async () => {
    const mirror = `http://127.0.0.1:${await closedPort()}`
    const outcome = await place.mayfly(['run', 'httpd'], { MAYFLY_REGISTRY_MIRROR: `${mirror},off` })
    expect(outcome).toMatchObject({ code: 125, stderr: expect.stringContaining(`Cannot reach the registry at ${mirror}: nobody listens there (ECONNREFUSED)`) as string })
  })

  test('and what the store has runs on', async () => {
    await (await run('busybox', { command: ['sleep', '60'] }))[Symbol.asyncDispose]()
    const outcome = await place.mayfly(['run', 'busybox', 'echo', 'here'], { MAYFLY_REGISTRY_MIRROR: `http://127.0.0.1:${await closedPort()},off` })
    expect(outcome).toEqual({ code: 0, stdout: 'here\n', stderr: '' })
    await nothingLeft()
  })
})

describe('a malformed reference', () => {
  test.each([
    ['Redis:7', 'has upper-case letters'],
    ['redis:', 'the tag ""'],
    ['redis@sha256:12', 'after "@" must come "sha256:" and 64 lower-case hexadecimal digits'],
    ['a//b', 'a part of the name is empty'],
    ['', 'it is empty'],
  ])('%j', async (text, why) => {
    const error = await failure(run(text))
    expect(error).toMatchObject({ code: 'ERR_MAYFLY_REFERENCE_INVALID', hint: expect.stringContaining('for example "postgres:16"') as string })
    expect(error.message).toContain(`Invalid image reference ${JSON.stringify(text)}`)
    expect(error.message).toContain(why)
    await nothingLeft()
  })

  test('on the command line', async () => {
    expect(await place.mayfly(['run', 'Redis:7'])).toMatchObject({ code: 125, stderr: expect.stringContaining('ERR_MAYFLY_REFERENCE_INVALID') as string })
  })
})

/** A port on loopback that nothing listens on. */
async function closedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
