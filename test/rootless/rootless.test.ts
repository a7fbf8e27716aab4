import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStore } from '../../packages/core/src/engine.js'
import { startRegistry } from '../images/registry.mjs'
import { delegateCgroups } from './cgroups.mjs'
import { ID, makeUser, processesOf, testAs, withoutUser, type User } from './user.js'

const why = withoutUser()
if (why !== undefined) process.stderr.write(`the runtime's tests are not run as an ordinary user: ${why}\n`)

describe.skipIf(why !== undefined)('as an ordinary user with subordinate ids', () => {
  let user: User
  beforeAll(() => { user = makeUser({ ranges: true }) })
  afterAll(() => { user.remove() })

  // Some hundred tests, one after the other.
  test('the runtime\'s tests pass', { timeout: 600_000 }, async () => {
    const { passed, failures } = await testAs(user, [
      'test/runtime', 'test/network', 'test/containers', 'test/layers', 'test/pull/', 'packages/core/test/layers', 'packages/core/test/images',
    ])
    expect(failures).toEqual([])
    expect(passed).toBeGreaterThan(40)
    await expect.poll(processesOf, { timeout: 5000, interval: 20 }).toEqual([])
  })

  test('with cgroups handed over by root, limits hold', { timeout: 180_000 }, async (context) => {
    const groups = delegateCgroups(ID)
    if (groups.directories.length === 0) context.skip('cgroup v2 alone: npm run test:vm has this case')
    const owner = makeUser({ ranges: true, cgroups: groups.directories })
    try {
      const { passed, failures } = await testAs(owner, ['test/runtime/cgroup', 'test/runtime/slots'], { MAYFLY_TEST_CGROUPS: 'delegated' })
      expect(failures).toEqual([])
      expect(passed).toBeGreaterThan(15)
    } finally {
      owner.remove()
      await groups.close()
    }
  })

  test('when the owner is killed, nothing of the user\'s is left', async () => {
    const script = `
      import { run } from '@mayfly/core/engine'
      const container = await run('busybox', { command: ['sh', '-c', 'echo x > /x; exec sleep 1000'], scratch: 'disk' })
      process.kill(process.pid, 'SIGKILL')
    `
    expect((await inside(user, script)).code).not.toBe(0)
    const runs = join(user.directory, 'home/.cache/mayfly/runs')
    await expect.poll(() => [...processesOf(), ...readdirSync(runs)], { timeout: 5000, interval: 20 }).toEqual([])
  })

  test('the store of one mode is not the other\'s', async () => {
    const home = join(user.directory, 'tmp/shared')
    const script = `
      import { listImages, openStore } from '@mayfly/core/engine'
      console.log(await openStore(${JSON.stringify(home)}).then(() => 'opened', ({ code }) => code))
    `
    expect((await inside(user, script)).output).toBe('opened\n')
    await expect(openStore(home)).rejects.toMatchObject({ code: 'ERR_MAYFLY_STORE_FOREIGN' })
  })
})

describe.skipIf(why !== undefined)('as an ordinary user without subordinate ids', () => {
  let user: User
  beforeAll(() => { user = makeUser({ ranges: false }) })
  afterAll(() => { user.remove() })

  test('what works with a single id works, and the rest is refused by name', { timeout: 120_000 }, async () => {
    const { passed, failures } = await testAs(user, ['test/rootless/single.case.ts'], { MAYFLY_TEST_CASES: '1' })
    expect(failures).toEqual([])
    expect(passed).toBe(6)
  })

  test('a container runs under one id, and a warning names the two lines that are missing', async () => {
    const script = `
      import { run } from '@mayfly/core/engine'
      const container = await run('busybox', { command: ['sleep', '1000'] })
      console.log((await container.exec(['id', '-u'])).stdout.trim(), (await container.exec(['cat', '/proc/self/uid_map'])).stdout.trim().replace(/ +/g, ' '))
      await container.stop({ timeout: 0 })
    `
    const { code, output } = await inside(user, script)
    expect(output).toContain('0 0 61000 1\n')
    expect(output).toMatch(/\/etc\/subuid/)
    expect(output).toMatch(/\/etc\/subgid/)
    expect(code).toBe(0)
  })
})

async function inside(user: User, script: string): Promise<{ code: number, output: string }> {
  const registry = await startRegistry()
  try {
    return await user.run([process.execPath, '--input-type=module', '-e', script], { MAYFLY_REGISTRY_MIRROR: registry.mirror })
  } finally {
    await registry.close()
  }
}
