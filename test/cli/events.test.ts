import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readEvents } from '@mayfly/core/engine'
import { startRegistry } from '../images/registry.mjs'
import { execute, openPlace, rootful, type Place } from '../place.js'

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
  if (rootful) {
    await mayfly('pause', 'told')
    await mayfly('unpause', 'told')
  }
  await mayfly('restart', '-t', '0', 'told')
  await mayfly('rename', 'told', 'late')
  await mayfly('rm', '-f', 'late')
  await over
  expect(seen.filter((one) => /told|late/.test(one))).toEqual([
    'create told', 'start told', ...(rootful ? ['pause told', 'unpause told'] : []), 'die told', 'stop told', 'start told', 'restart told', 'rename late', 'die late', 'stop late', 'destroy late',
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

test('what other processes do with containers and networks is told as well: a command in the foreground, a program, one that ends without a word', async () => {
  const begun = new Date().toISOString()
  const live = place.spawn(['events', '--since', begun, '--format', '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'])
  const seen: string[] = []
  const over = (async () => {
    for await (const chunk of live.stdout) {
      seen.push(...String(chunk).trimEnd().split('\n'))
      if (seen.includes('container destroy left')) live.kill()
    }
  })()
  expect((await place.mayfly(['run', '--rm', '--name', 'brief', '-l', 'by=hand', 'busybox', 'sh', '-c', 'exit 3'])).code).toBe(3)
  const program = `
    import { events, network, run } from '@mayfly/core'
    const stop = new AbortController()
    const net = await network({ name: 'own' })
    const told = (async () => { for await (const { kind, name, ...event } of events({ everywhere: true, since: new Date(process.argv[1]), signal: stop.signal })) if (name === 'brief' || name === 'made') { console.log(kind, name, event.code ?? ''); if (name === 'made' && kind === 'removed') stop.abort() } })()
    const one = await run('busybox', { command: ['sleep', '1000'], name: 'made', network: net })
    await one.restart({ timeout: 0 })
    await one.stop({ timeout: 0 })
    await told
    await net.remove()
    await run('busybox', { command: ['sleep', '1000'], name: 'left' })
    process.exit(0)
  `
  const { code, stdout, stderr } = await execute(process.execPath, ['--input-type=module', '-e', program, begun], process.env)
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout.trim().split('\n').map((one) => one.trim())).toEqual([
    'created brief', 'started brief', 'exited brief 3', 'removed brief',
    'created made', 'started made', 'exited made -1', 'stopped made', 'started made', 'restarted made', 'exited made -1', 'stopped made', 'removed made',
  ])
  await over
  const ofEach = (name: string): string[] => seen.filter((one) => one.endsWith(` ${name}`)).map((one) => one.split(' ').slice(0, 2).join(' '))
  expect(ofEach('brief')).toEqual(['container create', 'container start', 'container die', 'container destroy'])
  expect(ofEach('left')).toEqual(['container create', 'container start', 'container die', 'container destroy'])
  expect(ofEach('own')).toEqual(['network create', 'network connect', 'network disconnect', 'network destroy'])
  const die = await mayfly('events', '--since', begun, '--until', String(Date.now() / 1000), '-f', 'event=die', '-f', 'label=by=hand')
  expect(die).toMatch(/container die [0-9a-f]{64} \(by=hand, execDuration=\d+, exitCode=3, image=busybox, name=brief\)$/)
})

test('a program that ends at once is said to have begun and ended', async () => {
  const begun = Date.now()
  const outcomes = await Promise.all(Array.from({ length: 8 }, (_, at) => place.mayfly(['run', '--rm', '--name', `short${at}`, 'busybox', 'sh', '-c', 'exit 3'])))
  expect(outcomes.map(({ code }) => code)).toEqual(outcomes.map(() => 3))
  const all = (await mayfly('events', '--since', String(begun / 1000), '--until', String(Date.now() / 1000), '--format', '{{.Actor.Attributes.name}} {{.Action}}')).split('\n')
  for (const at of outcomes.keys()) expect(all.filter((one) => one.startsWith(`short${at} `)).map((one) => one.split(' ')[1])).toEqual(['create', 'start', 'die', 'destroy'])
})

test('the journal is bounded, and who follows it misses nothing of it', async () => {
  const home = join(place.directory, 'home')
  const attributes = { name: 'x', image: 'y', filler: 'z'.repeat(1000) }
  // Three writers, which turn the file over in each of two rounds. Who follows keeps up from one to the next.
  const program = `
    import { noteEvent, flushEvents } from ${JSON.stringify(fileURLToPath(new URL('../../packages/core/src/container/journal.ts', import.meta.url)))}
    for (let i = 0; i < 350; i += 1) { noteEvent(process.argv[2] ?? "", { type: 'container', action: 'start', id: process.argv[3] + String(i), time: Date.now(), attributes: ${JSON.stringify(attributes)} }); if (i % 3 === 0) { flushEvents(); await new Promise(setImmediate) } }
  `
  const file = join(place.directory, 'writer.ts')
  writeFileSync(file, program)
  const stop = new AbortController()
  const ids = new Set<string>()
  const read = (async () => {
    for await (const { id, attributes } of readEvents({ since: Date.now(), signal: stop.signal })) {
      if (attributes['filler'] !== undefined) ids.add(id)
    }
  })()
  for (const round of [1, 2]) {
    const writers = await Promise.all(['a', 'b', 'c'].map((name) => execute(process.execPath, ['--import', 'jiti/register', file, home, `${name}${round}-`], process.env)))
    expect(writers.map(({ code, stderr }) => [code, stderr])).toEqual(writers.map(() => [0, '']))
    await expect.poll(() => ids.size, { timeout: 20_000 }).toBe(round * 1050)
  }
  stop.abort()
  await read
  expect(statSync(join(home, 'events')).size).toBeLessThan(1.1 * 2 ** 20)
  expect(readdirSync(home).filter((name) => name.startsWith('events')).sort()).toEqual(['events', 'events.old'])
})

test('what happens to images and volumes is told in Docker\'s words', async () => {
  const begun = String(Date.now() / 1000)
  const words = async (...filters: string[]): Promise<string[]> => (await mayfly('events', '--since', begun, '--until', String(Date.now() / 1000), '--format', '{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}',
    ...filters.flatMap((filter) => ['-f', filter]))).split('\n').filter((one) => one !== '')
  await mayfly('pull', '-q', 'busybox')
  const id = await mayfly('images', '-q', '--no-trunc', 'busybox')
  const archive = join(place.directory, 'archive.tar')
  mkdirSync(join(place.directory, 'registry'))
  const registry = await startRegistry({ storage: join(place.directory, 'registry') })
  onTestFinished(() => registry.close())
  const pushed = `${registry.host}/pushed:1`
  await mayfly('tag', 'busybox', 'other:1')
  await mayfly('tag', 'busybox', pushed)
  await mayfly('push', '-q', pushed)
  await mayfly('save', '-o', archive, 'other:1')
  await mayfly('rmi', 'other:1')
  await mayfly('load', '-q', '-i', archive)
  await mayfly('import', archive, 'imported')
  const imported = await mayfly('images', '-q', '--no-trunc', 'imported')
  await mayfly('rmi', 'imported')
  await mayfly('image', 'prune', '-f')
  const told = (await words('type=image')).map((one) => one.replace(/@sha256:\w+/, '@DIGEST'))
  expect(told).toEqual([
    'image pull busybox:latest busybox', `image tag ${id} other:1`, `image tag ${id} ${pushed}`, `image push ${pushed} ${pushed.slice(0, -2)}`,
    `image save ${id} other:1`, `image untag ${id} other:1`, `image untag ${id} other@DIGEST`, `image load ${id} other:1`,
    `image import ${imported} imported:latest`, `image untag ${imported} imported:latest`, `image untag ${imported} imported@DIGEST`, `image delete ${imported} <no value>`,
    'image prune  <no value>',
  ])
  expect(await words('image=busybox')).toEqual(['image pull busybox:latest busybox'])
  expect((await words('image=other', 'event=untag')).length).toBe(2)
  await mayfly('volume', 'create', 'vol')
  await mayfly('volume', 'rm', 'vol')
  await mayfly('volume', 'prune', '-f')
  expect(await words('type=volume')).toEqual(['volume create vol <no value>', 'volume destroy vol <no value>', 'volume prune  <no value>'])
  expect(await words('volume=vol', 'event=destroy')).toEqual(['volume destroy vol <no value>'])
})

test('volumes that containers mount, and images made of containers, are told of: kept ones, and a program\'s', async () => {
  const begun = String(Date.now() / 1000)
  const told = async (...filters: string[]): Promise<string[]> => (await mayfly('events', '--since', begun, '--until', String(Date.now() / 1000), ...filters.flatMap((filter) => ['-f', filter]))).split('\n').map((line) => line.replace(/^\S+ /, ''))
  const id = await mayfly('run', '-d', '--name', 'keeps', '-v', 'stuff:/data:ro', '-v', '/own', 'busybox', 'sleep', '4000')
  await mayfly('restart', '-t', '0', 'keeps')
  const image = await mayfly('commit', '-m', 'why', 'keeps', 'made:1')
  await mayfly('stop', '-t', '0', 'keeps')
  const again = await mayfly('commit', 'keeps')
  await mayfly('rm', 'keeps')
  const mounted = `volume mount stuff (container=${id}, destination=/data, driver=local, propagation=, read/write=false)`
  const unmounted = `volume unmount stuff (container=${id}, driver=local)`
  expect(await told('volume=stuff')).toEqual([expect.stringMatching(/^volume create stuff /), mounted, unmounted, mounted, unmounted])
  expect(await told('container=keeps', 'event=commit')).toEqual([
    `container commit ${id} (comment=why, image=busybox, imageID=${image}, imageRef=made:1, name=keeps)`, `container commit ${id} (comment=, image=busybox, imageID=${again}, imageRef=, name=keeps)`,
  ])
  const program = `
    import { events, run, volume } from '@mayfly/core'
    const mine = await volume()
    const one = await run('busybox', { command: ['sleep', '1000'], name: 'own', mounts: [{ volume: mine, target: '/v' }], scratch: 'disk' })
    const kinds = (async () => { for await (const { kind, ...rest } of one.events()) console.log(kind, rest.imageId ?? '', rest.reference ?? '') })()
    const { id } = await one.commit({ name: 'made:2', message: 'why' })
    await one.stop({ timeout: 0 })
    await kinds
    await mine.remove()
    console.log(mine.name, one.id, id)
  `
  const { code, stdout, stderr } = await execute(process.execPath, ['--input-type=module', '-e', program], process.env)
  expect([code, stderr]).toEqual([0, ''])
  const lines = stdout.trim().split('\n').map((line) => line.trim())
  const [volume = '', own = '', made = ''] = lines.pop()?.split(' ') ?? []
  expect(lines.filter((line) => !/^(paused|unpaused)/.test(line))).toEqual([`committed ${made} made:2`, 'exited', 'stopped', 'removed'])
  expect((await told('event=mount', 'event=unmount')).slice(4)).toEqual([
    `volume mount ${volume} (container=${own}, destination=/v, driver=local, propagation=, read/write=true)`, `volume unmount ${volume} (container=${own}, driver=local)`,
  ])
})
