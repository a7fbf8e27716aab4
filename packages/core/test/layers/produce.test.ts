import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { run } from '@mayfly/core'
import { extract, type Header } from 'tar-stream'
import { expect, test } from 'vitest'
import { STUBS } from '../../src/layers/stubs.js'
import { compressLayer, layerTar, measureLayer, type LayerSource } from '../../src/layers/produce.js'
import { useBench } from '../../../../test/runtime/bench.js'

const bench = useBench()

test('the changes of a container, and nothing else, make the layer', async () => {
  const names = await entriesOf(await changed(`
    echo new > /srv/new; ln /srv/new /srv/twin; ln -s new /srv/link; mkfifo /srv/pipe
    rm /etc/debian_version; rm -rf /usr/share/bug; mkdir /usr/share/bug; echo x > /usr/share/bug/y
    rm -rf /home; echo a >> /etc/motd; chmod 711 /opt
    echo gone > /var/gone; rm /var/gone; mkdir -p /var/a/b; rm -r /var/a
    chmod 600 /etc/issue; chmod 644 /etc/issue
    touch -d @1000 /srv/new /srv /srv/pipe; touch -h -d @1000 /srv/link
  `))
  expect(names).toEqual([
    'etc/ 5', 'etc/.wh.debian_version 0', 'etc/motd 0',
    '.wh.home 0', 'opt/ 5', 'srv/ 5', 'srv/link 2 new', 'srv/new 0', 'srv/pipe 6', 'srv/twin 1 srv/new',
    'usr/ 5', 'usr/share/ 5', 'usr/share/bug/ 5', 'usr/share/bug/.wh..wh..opq 0', 'usr/share/bug/y 0',
  ].sort(byName))
})

test('the same change gives the same bytes, also compressed', async () => {
  const script = 'mkdir -p /srv/d; echo 1 > /srv/d/f; touch -d @1000 /srv/d/f /srv/d /srv; rm /etc/debian_version; touch -d @1000 /etc'
  const [one, two] = [await changed(script), await changed(script)]
  const measured = await measureLayer(one)
  expect(await measureLayer(two)).toEqual(measured)
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-test-'))
  try {
    const [first, second] = [await compressLayer(one, join(directory, '1')), await compressLayer(two, join(directory, '2'))]
    expect(second).toEqual(first)
    const bytes = readFileSync(join(directory, '1'))
    expect(first).toEqual({ diffId: measured.diffId, digest: sha256(bytes), size: bytes.length })
    const plain = gunzipSync(bytes)
    expect([sha256(plain), plain.length]).toEqual([measured.diffId, measured.size])
    expect(measured).toMatchObject({ empty: false, files: 2 })
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('no change is an empty layer, and times can have a latest', async () => {
  expect(await measureLayer(await changed('true'))).toMatchObject({ empty: true })
  const source = await changed('echo new > /srv/new')
  for await (const { header } of tarOf({ ...source, latest: 1000 })) expect(header.mtime?.getTime()).toBeLessThanOrEqual(1_000_000)
})

function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** Runs a script in a container and gives what it changed, with the layers below. */
async function changed(script: string): Promise<LayerSource> {
  const container = await run('debian', { scratch: 'disk', command: ['sleep', '1000'] })
  const { exitCode, stderr } = await container.exec(['sh', '-euc', script])
  expect([exitCode, stderr]).toEqual([0, ''])
  const key = `layer-${String(Math.random()).slice(2)}`
  await container.snapshot({ key, timeout: 0 })
  const { findSnapshot } = await import('../../src/images/snapshots.js')
  const { openStore } = await import('../../src/images/store.js')
  const [directory = '', ...lowers] = (await findSnapshot(await openStore(join(bench.home, 'home')), key))?.image.layers ?? []
  return { directory, lowers, skip: STUBS }
}

async function entriesOf(source: LayerSource): Promise<readonly string[]> {
  const names: string[] = []
  const types: Record<string, string> = { file: '0', link: '1', symlink: '2', directory: '5', fifo: '6' }
  for await (const { header } of tarOf(source)) {
    names.push([header.name, types[header.type ?? ''] ?? header.type, ...(header.linkname == null ? [] : [header.linkname])].join(' '))
  }
  return names
}

async function* tarOf(source: LayerSource): AsyncGenerator<{ readonly header: Header }> {
  const { tar, done } = layerTar(source)
  const reader = tar.pipe(extract())
  for await (const entry of reader) {
    entry.resume()
    yield { header: entry.header }
  }
  await done
}

function byName(a: string, b: string): number {
  return a.replace('.wh.', '') < b.replace('.wh.', '') ? -1 : 1
}
