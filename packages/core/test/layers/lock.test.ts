import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { lockFile } from '../../src/layers/index.js'

let directory: string
let before: readonly string[]
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mayfly-lock-'))
  before = children()
})
afterEach(() => { rmSync(directory, { recursive: true }) })

function children(): string[] {
  return readFileSync(`/proc/self/task/${String(process.pid)}/children`, 'utf8').split(' ').filter((pid) => pid !== '')
}

test('locks are held by one process, which is gone with the last of them', async () => {
  const locks = await Promise.all(Array.from({ length: 30 }, (_, at) => lockFile(join(directory, String(at)))))
  expect(children()).toHaveLength(before.length + 1)
  await Promise.all(locks.map((lock) => lock.release()))
  expect(children()).toEqual(before)
  await locks[0]?.release()
})

test('a lock is had by one after the other, and shared by those who share', async () => {
  const file = join(directory, 'a')
  const order: string[] = []
  const first = await lockFile(file)
  const second = lockFile(file).then((lock) => (order.push('second'), lock))
  order.push('first')
  await first.release()
  await (await second).release()
  expect(order).toEqual(['first', 'second'])
  const shared = await Promise.all([1, 2].map(() => lockFile(file, undefined, { shared: true })))
  for (const lock of shared) await lock.release()
  expect(children()).toEqual(before)
})

test('who gives up waiting, or never began, is told so, and keeps nobody else waiting', async () => {
  const file = join(directory, 'a')
  const first = await lockFile(file)
  const abort = new AbortController()
  const second = lockFile(file, abort.signal)
  const third = lockFile(file)
  abort.abort(new Error('enough'))
  await expect(second).rejects.toMatchObject({ code: 'ERR_MAYFLY_ABORTED', cause: { message: 'enough' } })
  await expect(lockFile(file, abort.signal)).rejects.toMatchObject({ code: 'ERR_MAYFLY_ABORTED' })
  await first.release()
  await (await third).release()
  await expect(lockFile(join(directory, 'none', 'a'))).rejects.toMatchObject({ code: 'ERR_MAYFLY_NATIVE_FAILED', message: 'Cannot lock the image store: open: ENOENT' })
  expect(children()).toEqual(before)
})
