import { expect, test } from 'vitest'

import { Writer } from '../../src/native/bytes.js'
import { decodeFailure, errorOf } from '../../src/native/failure.js'

function failure(errno: number, operation: string, path = '', step = ''): ReturnType<typeof decodeFailure> {
  return decodeFailure(new Writer().u32(errno).u32(0xffffffff).str(operation).str(path).str(step).take())
}

test.each([
  [2, 'exec', 'execve', 'ERR_MAYFLY_COMMAND_NOT_FOUND', 127],
  [13, 'exec', 'execve', 'ERR_MAYFLY_COMMAND_NOT_EXECUTABLE', 126],
  [98, 'port.open', 'bind', 'ERR_MAYFLY_ADDRESS_IN_USE', undefined],
  [19, 'cgroup', 'no such controller', 'ERR_MAYFLY_LIMIT_UNSUPPORTED', undefined],
  [2, 'signal', 'no such container', 'ERR_MAYFLY_CONTAINER_NOT_FOUND', undefined],
  [22, 'rootfs', 'mount overlay', 'ERR_MAYFLY_NATIVE_FAILED', undefined],
  [28, 'file', 'write', 'ERR_MAYFLY_STORE_FAILED', undefined],
  // Not room, but mounts.
  [28, 'mount.bind', 'move_mount', 'ERR_MAYFLY_NATIVE_FAILED', undefined],
])('errno %i of %s (%s) is %s', (errno, operation, step, code, exitCode) => {
  const error = errorOf(failure(errno, operation, 'what', step))
  expect(error.code).toBe(code)
  expect(error.details['exitCode']).toBe(exitCode)
})

test('the message names operation, path, step and errno', () => {
  expect(errorOf(failure(22, 'rootfs', '/l', 'mount overlay')).message).toContain('rootfs /l mount overlay: EINVAL')
})
