import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'

import { isError, isMayflyError, MayflyError, messageOf } from '../src/errors.js'

test('errors of another realm, as Jest\'s tests have them, are errors', () => {
  const theirs = runInNewContext('Object.assign(new TypeError("said there"), { code: "ERR_MAYFLY_RUN_LOST" })') as unknown
  expect(theirs instanceof Error).toBe(false)
  expect([isError(theirs), isMayflyError(theirs), messageOf(theirs)]).toEqual([true, true, 'said there'])
})

test('what ends a wait is an error, and says why', () => {
  const aborted = new DOMException('too long', 'TimeoutError')
  expect([isError(aborted), isMayflyError(aborted), messageOf(aborted)]).toEqual([true, false, 'too long'])
})

test('what only looks like one is none', () => {
  expect([isError({ message: 'x' }), isMayflyError({ code: 'ERR_MAYFLY_RUN_LOST', message: 'x' }), messageOf('text'), messageOf(undefined)]).toEqual([false, false, 'text', 'undefined'])
  expect(isMayflyError(new MayflyError('ERR_MAYFLY_RUN_LOST', 'x'))).toBe(true)
  expect(isMayflyError(Object.assign(new Error('x'), { code: 'ENOENT' }))).toBe(false)
})
