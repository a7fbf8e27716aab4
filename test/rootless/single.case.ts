// A user to whom no ids are lent: what still works, and how the rest is refused. Run by rootless.test.ts.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '@mayfly/core'
import { diagnose } from '@mayfly/core/engine'
import { expect, test } from 'vitest'
import { useBench } from '../runtime/bench.js'

const bench = useBench()
const lines = 'Add these lines as root:\n  /etc/subuid:  mayfly-tester:100000:65536\n  /etc/subgid:  mayfly-tester:100000:65536'

test('containers run as root alone, and one warning names the two lines', async () => {
  const warning = new Promise<Error & { code?: string, detail?: string }>((resolve) => { process.once('warning', resolve) })
  await using container = await run('busybox', { command: ['sleep', '1000'] })
  expect((await container.exec(['id', '-u'])).stdout).toBe('0\n')
  expect(await warning).toMatchObject({ code: 'MAYFLY_SINGLE_ID', detail: lines })
})

test('an image that needs but root works, its files all being root\'s', async () => {
  await using web = await run('httpd')
  expect(await (await web.fetch('/')).text()).toContain('It works!')
  expect((await web.exec(['sh', '-c', 'find /bin /etc /usr /var -xdev ! -user 0'])).stdout).toBe('')
})

test('another user is refused with the two lines, asked for or in a command', async () => {
  const refused = { code: 'ERR_MAYFLY_UNPRIVILEGED', hint: lines }
  await expect(run('busybox', { command: ['true'], user: '5:5' })).rejects.toMatchObject(refused)
  await using container = await run('busybox', { command: ['sleep', '1000'] })
  await expect(container.exec(['true'], { user: 'nobody' })).rejects.toMatchObject(refused)
})

test('an image that changes users by itself fails with the two lines for a hint', async () => {
  await expect(run('redis')).rejects.toMatchObject({ code: 'ERR_MAYFLY_CONTAINER_EXITED', hint: lines })
})

test('doctor says so', async () => {
  expect((await diagnose()).find(({ name }) => name === 'users')).toMatchObject({ ok: false, needed: false, mend: lines })
})

test('a store that root made is refused', async () => {
  const home = join(bench.home, 'of-root')
  mkdirSync(home)
  writeFileSync(join(home, 'mode'), 'root\n')
  const { openStore } = await import('@mayfly/core/engine')
  await expect(openStore(home)).rejects.toMatchObject({ code: 'ERR_MAYFLY_STORE_FOREIGN', hint: expect.stringContaining('MAYFLY_HOME') as string })
  expect(readFileSync(join(home, 'mode'), 'utf8')).toBe('root\n')
  expect(readdirSync(home)).toEqual(['mode'])
})
