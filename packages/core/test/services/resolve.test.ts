import { describe, expect, test } from 'vitest'
import { postgres, redis } from '../../src/services/presets/index.js'
import { nearestWord as nearest } from '../../src/nearest.js'
import { resolveService, scopeOf } from '../../src/services/resolve.js'

const services = { db: postgres('postgres:16', { scope: 'worker' }), cache: redis() }

describe('a name', () => {
  test('is a service of the configuration first', () => {
    expect(resolveService('db', services, '/p/mayfly.config.ts').image).toBe('postgres:16')
    expect(resolveService('redis', { redis: postgres('mine:1') }, undefined).image).toBe('mine:1')
  })

  test('else a preset, without any configuration', () => {
    expect(resolveService('httpd', {}, undefined)).toMatchObject({ image: 'httpd', preset: 'httpd' })
  })

  test.each([
    ['postgres:17', 'postgres'],
    ['docker.io/library/postgres:17', 'postgres'],
    ['localhost:5000/redis@sha256:00', 'redis'],
    ['busybox:1', undefined],
    ['team/db', undefined],
  ])('%s is an image, with the preset %s', (name, preset) => {
    expect(resolveService(name, services, undefined)).toMatchObject({ image: name, preset })
  })

  test.each([['dbb', 'db'], ['cahce', 'cache'], ['postgre', 'postgres']])('%s is unknown, and %s is suggested', (name, suggestion) => {
    expect(() => resolveService(name, services, '/p/mayfly.config.ts')).toThrow(
      expect.objectContaining({ code: 'ERR_MAYFLY_SERVICE_UNKNOWN', hint: `Did you mean "${suggestion}"?` }),
    )
  })

  test('that resembles nothing gets advice on images instead', () => {
    expect(() => resolveService('caddy', services, undefined)).toThrow(
      expect.objectContaining({ code: 'ERR_MAYFLY_SERVICE_UNKNOWN', hint: expect.stringContaining('caddy:latest') as string }),
    )
  })

  test('is no property of every object', () => {
    expect(() => resolveService('constructor', services, undefined)).toThrow(
      expect.objectContaining({ code: 'ERR_MAYFLY_SERVICE_UNKNOWN' }),
    )
  })
})

describe('the scope of a use', () => {
  test('may be narrower than the service\'s', () => {
    expect(scopeOf(services.db, 'file', 'db')).toBe('file')
    expect(scopeOf(services.db, undefined, 'db')).toBe('worker')
  })

  test('is never wider', () => {
    expect(() => scopeOf(services.cache, 'run', 'cache')).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID' }))
  })
})

test('nothing near is no suggestion', () => {
  expect(nearest('elephant', ['db', 'cache'])).toBeUndefined()
})
