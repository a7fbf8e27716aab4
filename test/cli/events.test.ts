import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPlace, type Place } from '../place.js'

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(() => place.close())

async function mayfly(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.mayfly(words)
  expect([words, code, stderr]).toEqual([words, 0, ''])
  return stdout.trim()
}

test('what happens to containers and networks is told as it happens, and afterwards', async () => {
  const begun = new Date().toISOString()
  const live = place.spawn(['events', '--filter', 'type=container', '--format', '{{.Action}} {{.Actor.Attributes.name}}'])
  const seen: string[] = []
  const over = (async () => {
    for await (const chunk of live.stdout) {
      seen.push(...String(chunk).trimEnd().split('\n'))
      if (seen.at(-1) === 'destroy late') live.kill()
    }
  })()
  // It listens once it shows something: until then there is something to show.
  for (let tries = 0; seen.length === 0 && tries < 100; tries += 1) await mayfly('run', '--name', `try${tries}`, 'busybox', 'true').then(() => mayfly('rm', `try${tries}`))
  const id = await mayfly('run', '-d', '--name', 'told', '-l', 'a=b', 'busybox', 'sleep', '4000')
  await mayfly('pause', 'told')
  await mayfly('unpause', 'told')
  await mayfly('restart', '-t', '0', 'told')
  await mayfly('rename', 'told', 'late')
  await mayfly('rm', '-f', 'late')
  await over
  expect(seen.filter((one) => /told|late/.test(one))).toEqual([
    'create told', 'start told', 'pause told', 'unpause told', 'die told', 'stop told', 'start told', 'restart told', 'rename late', 'die late', 'stop late', 'destroy late',
  ])
  await mayfly('network', 'create', 'net')
  await mayfly('network', 'rm', 'net')
  const until = String(Date.now() / 1000)
  const after = async (...filters: string[]): Promise<string[]> =>
    (await mayfly('events', '--since', begun, '--until', until, ...filters.flatMap((filter) => ['-f', filter]))).split('\n').filter((one) => one !== '')
  expect(await after('container=late', 'event=die')).toEqual([expect.stringMatching(new RegExp(`^\\d{4}-.*Z container die ${id} \\(a=b, execDuration=\\d+, exitCode=137, image=busybox, name=late\\)$`))])
  expect((await after('label=a=b', 'event=create', 'event=destroy')).length).toBe(2)
  expect((await after('type=network')).map((one) => one.split(' ')[2])).toEqual(['create', 'destroy'])
  expect(await after('image=redis')).toEqual([])
  const [first] = (await mayfly('system', 'events', '--since', begun, '--until', until, '--filter', 'container=told', '--format', 'json')).split('\n')
  expect(JSON.parse(first ?? '')).toMatchObject({ status: 'create', from: 'busybox', Type: 'container', Actor: { ID: id } })
  expect(await place.mayfly(['events', '--filter', 'colour=red', '--until', '1s'])).toMatchObject({ code: 1, stderr: expect.stringContaining('container=') as string })
})
