import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPlace, type Place, rootful } from '../place.js'

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(() => place.close())

test('info names what containers get here, the driver included', async () => {
  const { code, stdout } = await place.mayfly(['info', '--format', 'json'])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ version: '0.1.0', mode: rootful ? 'root' : 'user', driver: 'overlay', refused: {}, addresses: rootful, hub: [expect.stringContaining('127.0.0.1')] })
  const { stdout: text } = await place.mayfly(['info'])
  expect(text).toMatch(/^Storage driver: {2}overlay$/m)
})

test('info names mirrors and insecure registries as Docker does', async () => {
  const { stdout } = await place.mayfly(['info'], { MAYFLY_REGISTRY_MIRROR: 'https://nexus.example/hub', MAYFLY_INSECURE_REGISTRIES: 'registry.example:5000' })
  expect(stdout).toContain('\nInsecure registries:\n  registry.example:5000\n')
  expect(stdout).toMatch(/\n {2}::1\/128\n {2}127\.0\.0\.0\/8\nRegistry mirrors:\n {2}https:\/\/nexus\.example\/hub\n$/)
})

test('info tries the driver that is forced', async () => {
  const { stdout } = await place.mayfly(['info', '--format', 'json'], { MAYFLY_DRIVER: 'copy' })
  expect(JSON.parse(stdout)).toMatchObject({ driver: 'copy' })
})

test('prune finishes a run whose owner and janitor were killed, and nothing that lives', async () => {
  const script = `
    import { run } from '@mayfly/core/engine'
    const container = await run('busybox', { command: ['sleep', '4000'] })
    console.log('ready')
    setInterval(() => undefined, 1000)
  `
  const start = async (): Promise<ReturnType<typeof spawn>> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    return child
  }
  const [doomed, living] = [await start(), await start()]
  try {
    const runs = join(process.env['MAYFLY_HOME'] ?? '', 'runs')
    const ids = readdirSync(runs)
    const owned = ids.find((id) => (JSON.parse(readFileSync(join(runs, id, 'run.json'), 'utf8')) as { pid: number }).pid === doomed.pid) ?? ''
    for (const pid of janitorsOf(doomed.pid)) process.kill(pid, 'SIGKILL')
    doomed.kill('SIGKILL')
    await once(doomed, 'exit')
    expect(existsSync(join(runs, owned))).toBe(true)
    // Its processes die with the supervisor, which frees the run's lock.
    await expect.poll(async () => (await place.mayfly(['prune'])).stdout, { timeout: 10_000 }).toMatch(new RegExp(`^${owned}\n1 dead run finished\nTotal reclaimed space: `))
    expect(readdirSync(runs).sort()).toEqual(ids.filter((id) => id !== owned).sort())
  } finally {
    living.kill('SIGKILL')
    await once(living, 'exit')
  }
})

function janitorsOf(pid: number | undefined): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((one) => {
    try {
      const status = readFileSync(`/proc/${one}/status`, 'utf8')
      return new RegExp(`^PPid:\\s+${pid}$`, 'm').test(status) && /^Name:\s+mayfly/m.test(status)
    } catch {
      return false
    }
  })
}
