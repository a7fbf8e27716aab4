import { run } from '@mayfly/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPlace, type Place, rootful } from '../place.js'

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(() => place.close())
// As this machine sees it: lent to an ordinary user.
const user: unknown = rootful ? '33' : expect.stringMatching(/^\d{5,}$/)
const soon = { description: 'nothing', ready: () => Promise.resolve() }

test('top shows the processes of a container of any run', async () => {
  await using own = await run('busybox', { command: ['sh', '-c', 'sleep 3000 & wait'], name: 'busy', user: '33', ready: soon })
  await expect.poll(async () => (await place.mayfly(['top', 'busy'])).stdout, { timeout: 5000 }).toContain('sleep 3000')
  const [head = '', ...rows] = (await place.mayfly(['container', 'top', own.id])).stdout.trimEnd().split('\n')
  expect(head.split(/ {2,}/)).toEqual(['UID', 'PID', 'INSIDE', 'STAT', 'TIME', 'CMD'])
  expect(rows.map((row) => row.split(/ {2,}/)).map(([uid, , inside, , , command]) => [uid, inside, command])).toEqual([[user, '1', 'sh -c sleep 3000 & wait'], [user, '2', 'sleep 3000']])
  expect(await place.mayfly(['top', 'nobody'])).toMatchObject({ code: 1, stderr: expect.stringContaining('No such container') as string })
})

test('signals of one\'s choice end a container, and restart it', async () => {
  const script = 'trap "echo usr1; exit 7" USR1; trap "echo usr2; exit 8" USR2; echo ready; while :; do sleep 0.05; done'
  expect(await place.mayfly(['run', '-d', '--name', 'polite', 'busybox', 'sh', '-c', script])).toMatchObject({ code: 0 })
  const ready = (times: number): Promise<void> => expect.poll(async () => (await place.mayfly(['logs', 'polite'])).stdout.split('ready').length - 1, { timeout: 10_000 }).toBe(times)
  await ready(1)
  expect(await place.mayfly(['restart', '-s', 'SIGUSR1', 'polite'])).toMatchObject({ code: 0 })
  await ready(2)
  expect(await place.mayfly(['stop', '--signal', 'USR2', 'polite'])).toMatchObject({ code: 0 })
  expect((await place.mayfly(['logs', 'polite'])).stdout).toBe('ready\nusr1\nready\nusr2\n')
  expect((await place.mayfly(['wait', 'polite'])).stdout).toBe('8\n')
  expect(await place.mayfly(['rm', 'polite'])).toMatchObject({ code: 0 })
})
