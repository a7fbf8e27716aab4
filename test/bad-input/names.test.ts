import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { launchRun, openSession, type LaunchedRun, type Session } from '@mayfly/core/plugin'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { failure, nothingLeft, openPlace, type Place } from '../place.js'

let place: Place
let run: LaunchedRun
let session: Session

beforeAll(async () => {
  place = await openPlace()
  const project = join(place.directory, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'mayfly.config.mjs'), `export default { services: {
    database: { image: 'busybox', options: { command: ['sh', '-c', 'echo no disk; exit 4'], ports: [5432], startTimeout: 60000 } },
  } }`)
  run = await launchRun({ directories: [project], slots: 1 })
  session = openSession(run.address, join(project, 'some.test.js'), 1)
})

afterAll(async () => {
  await session.close()
  await run.close()
  await place.close()
})

test.each([['databse', 'database'], ['postgre', 'postgres'], ['http', 'httpd']])('%s is neither service nor preset: did you mean %s?', async (name, near) => {
  const error = await failure(session.lease({ name }))
  expect(error).toMatchObject({ code: 'ERR_MAYFLY_SERVICE_UNKNOWN', hint: `Did you mean "${near}"?`, details: { name, suggestion: near } })
  expect(error.message).toContain(`No service or preset is called "${name}"`)
  await nothingLeft()
})

test('a bare name that resembles nothing: how images are named', async () => {
  const error = await failure(session.lease({ name: 'caddy' }))
  expect(error).toMatchObject({ code: 'ERR_MAYFLY_SERVICE_UNKNOWN', hint: 'An image\'s name has a tag or a slash: "caddy:latest".' })
  await nothingLeft()
})

test('an image nobody has', async () => {
  const error = await failure(session.lease({ name: 'caddy:1' }))
  expect(error).toMatchObject({ code: 'ERR_MAYFLY_IMAGE_NOT_FOUND', hint: 'Check the name for typing errors.' })
  await nothingLeft()
})

test('a service that ends before it is ready tells its code and last words at once', async () => {
  const began = performance.now()
  const error = await failure(session.lease({ name: 'database' }))
  expect(performance.now() - began).toBeLessThan(3000)
  expect(error).toMatchObject({ code: 'ERR_MAYFLY_CONTAINER_EXITED', details: { exitCode: 4, log: ['no disk'] } })
  expect(error.message).toContain('busybox ended with exit code 4 before it was ready, waiting for port 5432. Its last log lines:\n  no disk')
  await nothingLeft()
})
