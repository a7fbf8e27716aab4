import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPlace, type Place } from '../place.js'

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(async () => {
  await place.mayfly(['rm', '-f', 'checked', 'unchecked'])
  await place.close()
})

async function mayfly(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.mayfly(words)
  expect([words, code, stderr]).toEqual([words, 0, ''])
  return stdout.trim()
}

test('health checks go on without the command that began them, and are shown', async () => {
  await mayfly('run', '-d', '--name', 'checked', '--health-cmd', 'test -e /well', '--health-interval', '100ms', '--health-retries', '2', '--health-timeout', '5s',
    '--health-start-interval', '50ms', '--health-start-period', '1h', 'busybox', 'sleep', '4000')
  const status = (): Promise<string> => mayfly('ps', '--filter', 'name=checked', '--format', '{{.Status}}')
  expect(await status()).toMatch(/^Up .* \(health: starting\)$/)
  await mayfly('exec', 'checked', 'touch', '/well')
  await expect.poll(status, { timeout: 10_000 }).toMatch(/ \(healthy\)$/)
  expect(await mayfly('ps', '-q', '--filter', 'health=healthy')).not.toBe('')
  await mayfly('exec', 'checked', 'rm', '/well')
  await expect.poll(status, { timeout: 10_000 }).toMatch(/ \(unhealthy\)$/)
  expect(await mayfly('inspect', '-f', '{{.State.Health.Status}} {{(index .State.Health.Log 0).ExitCode}}', 'checked')).toMatch(/^unhealthy \d$/)
  expect(await mayfly('events', '--since', '1h', '--until', '0s', '-f', 'event=health_status', '--format', '{{.Action}}')).toBe('health_status: healthy\nhealth_status: unhealthy')
  await mayfly('restart', '-t', '0', 'checked')
  expect(await status()).toContain('(health: starting)')
})

test('or there are none', async () => {
  await mayfly('run', '-d', '--name', 'unchecked', '--no-healthcheck', 'busybox', 'sleep', '4000')
  expect(await mayfly('ps', '--filter', 'name=^unchecked', '--filter', 'health=none', '--format', '{{.Status}}')).not.toContain('health')
  expect(await place.mayfly(['run', '--rm', '--no-healthcheck', '--health-retries', '1', 'busybox'])).toMatchObject({ code: 125, stderr: expect.stringContaining('contradict') as string })
  expect(await place.mayfly(['run', '--rm', '--health-interval', 'often', 'busybox'])).toMatchObject({ code: 125, stderr: expect.stringContaining('1m30s') as string })
})
