import fc from 'fast-check'
import { expect, test } from 'vitest'

import { parseReference } from '../src/reference.js'

const hex = 'a'.repeat(63) + '1'

test.each([
  ['httpd', 'docker.io/library/httpd:latest', 'httpd'],
  ['postgres:16', 'docker.io/library/postgres:16', 'postgres:16'],
  ['docker.io/redis', 'docker.io/library/redis:latest', 'redis'],
  ['index.docker.io/library/redis', 'docker.io/library/redis:latest', 'redis'],
  ['owner/app', 'docker.io/owner/app:latest', 'owner/app'],
  ['localhost/app', 'localhost/app:latest', 'localhost/app'],
  ['127.0.0.1:5000/a/b__c:v1', '127.0.0.1:5000/a/b__c:v1', '127.0.0.1:5000/a/b__c:v1'],
  ['[::1]:5000/app', '[::1]:5000/app:latest', '[::1]:5000/app'],
  [`app:1@sha256:${hex}`, `docker.io/library/app:1@sha256:${hex}`, `app:1@sha256:${hex}`],
  [`ghcr.io/o/app@sha256:${hex}`, `ghcr.io/o/app@sha256:${hex}`, `ghcr.io/o/app@sha256:${hex}`],
])('%s is %s', (text, full, familiar) => {
  const reference = parseReference(text)
  expect(reference.toString()).toBe(full)
  expect(reference.familiar).toBe(familiar)
})

test.each([
  ['', 'empty'], ['App', 'upper-case'], ['a//b', 'empty'], ['a:', 'tag'], ['a:-x', 'tag'], ['a@sha256:12', '64'],
  ['../etc', 'host name'], ['a/../b', 'must be'], ['-x', 'must be'], [hex, 'image id'], ['a b', 'must be'], ['ex_ample.com/a', 'host name'],
  ['a\0b', 'must be'],
])('%j is refused', (text, why) => {
  expect(() => parseReference(text)).toThrow(why)
  expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_REFERENCE_INVALID' }) as Error)
})

const part = fc.stringMatching(/^[a-z0-9]{1,8}((\.|_|__|-{1,2})[a-z0-9]{1,4})?$/)
const registry = fc.constantFrom('docker.io', 'localhost', 'ghcr.io', '127.0.0.1:5000', 'Example.com:80', '[::1]:5000')
const tag = fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/), { nil: undefined })
const digest = fc.option(fc.stringMatching(/^[0-9a-f]{64}$/), { nil: undefined })

test('the canonical and the familiar text mean the same reference', () => {
  fc.assert(fc.property(registry, fc.array(part, { minLength: 1, maxLength: 4 }), tag, digest, (host, parts, t, d) => {
    const text = `${host}/${parts.join('/')}${t === undefined ? '' : `:${t}`}${d === undefined ? '' : `@sha256:${d}`}`
    const reference = parseReference(text)
    expect(parseReference(reference.toString()).toString()).toBe(reference.toString())
    expect(parseReference(reference.familiar).toString()).toBe(reference.toString())
  }))
})

test('any text is read or refused with the code', () => {
  fc.assert(fc.property(fc.string(), (text) => {
    try {
      expect(parseReference(text).toString()).not.toMatch(/\.\.\/|\0/)
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_MAYFLY_REFERENCE_INVALID' })
    }
  }))
})
