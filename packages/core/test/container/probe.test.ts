import { expect, test } from 'vitest'
import { existsInside } from '../../src/container/probe.js'
import { MayflyError } from '../../src/errors.js'
import { Writer } from '../../src/native/bytes.js'
import type { Connection } from '../../src/native/index.js'

const SIGKILL = 9

/** A supervisor whose probe ends like this. */
function supervisor(how: Error | { readonly code: number; readonly signal: number }): Pick<Connection, 'open'> {
  return {
    open: (_method, _fields, stream) => {
      if (how instanceof Error) return { id: 1, reply: Promise.reject(how) }
      queueMicrotask(() => stream?.end(undefined, new Writer().u32(how.code >>> 0).u32(how.signal).take() as Buffer))
      return { id: 1, reply: Promise.resolve(Buffer.alloc(8)) }
    },
  }
}

function refused(errno: string, path: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_NATIVE_FAILED', 'chdir', { details: { operation: 'chdir', errno, path } })
}

test.each([
  ['a directory', { code: 0, signal: 0 }, true],
  ['something else', refused('ENOTDIR', '/run/file'), true],
  ['nothing', refused('ENOENT', '/run/file'), false],
  ['below what is no directory', refused('ENOTDIR', '/run'), false],
  ['not known: the probe was killed with its container', { code: -1, signal: SIGKILL }, false],
])('what is at a path: %s', async (_, how, there) => {
  expect(await existsInside(supervisor(how), 'c', '/run/file')).toBe(there)
})

test('a container that does not run is an error', async () => {
  const gone = new MayflyError('ERR_MAYFLY_NOT_RUNNING', 'not running', { details: { operation: 'exec', errno: 'ESRCH' } })
  await expect(existsInside(supervisor(gone), 'c', '/run/file')).rejects.toBe(gone)
})
