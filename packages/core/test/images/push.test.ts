import type { ServerResponse } from 'node:http'
import { once } from 'node:events'
import { expect, test } from 'vitest'

import { openStore, pullImage, pushImage, tagImage } from '../../src/images/index.js'
import { parseReference } from '../../src/reference.js'
import { shape } from '../registry/shape.js'
import { fakeRegistry, sha256, tar, temporaryHome } from './fixture.js'

test('a push that fails ends all that it sends: nothing of it meets the next one at the registry', async () => {
  const source = await fakeRegistry()
  const home = await temporaryHome()
  source.add('app', '1', [tar([{ name: 'a', content: 'a' }]), tar([{ name: 'b', content: 'b' }])])
  const store = await openStore(home.path)
  await pullImage(store, parseReference(`${source.host}/app:1`))
  const held: ServerResponse[] = []
  const ends: Promise<unknown>[] = []
  // Two blobs are kept waiting; the third is refused.
  const registry = await shape((_, response) => {
    if (held.length === 2) return void response.writeHead(400).end()
    held.push(response)
    ends.push(once(response, 'close'))
  })
  try {
    const name = parseReference(`${registry.host}/app:1`)
    await tagImage(store, parseReference(`${source.host}/app:1`), name)
    await expect(pushImage(store, name)).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE' })
    await Promise.all(ends)
    expect(registry.lines().filter((line) => line.startsWith('HEAD'))).toHaveLength(3)
    expect(held.every(({ writableEnded }) => !writableEnded)).toBe(true)
  } finally {
    await registry.close()
    await source.close()
    await home.remove()
  }
})

test('all platforms go where the store has them all, else the one it has; the index last', async () => {
  const source = await fakeRegistry()
  const home = await temporaryHome()
  const registry = await shape(({ method, url }, response) => {
    if (method === 'HEAD') response.writeHead(404).end()
    else if (method === 'POST') response.writeHead(202, { location: `${url.pathname}1` }).end()
    else response.writeHead(201).end()
  })
  try {
    const manifests = ['amd64', 'arm64'].map((architecture) => {
      const digest = source.add('app', architecture, [tar([{ name: 'a', content: architecture }])], { document: { architecture } })
      return { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: source.manifests.get(`app/manifests/${digest}`)?.length, platform: { os: 'linux', architecture } }
    })
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }))
    for (const name of ['1', sha256(index)]) source.manifests.set(`app/manifests/${name}`, index)
    const store = await openStore(home.path)
    const name = parseReference(`${registry.host}/app:1`)
    const pushed = async (architecture: string): Promise<string[]> => {
      await pullImage(store, parseReference(`${source.host}/app:1`), { platform: { os: 'linux', architecture } })
      await tagImage(store, parseReference(`${source.host}/app:1`), name)
      registry.asked.length = 0
      await pushImage(store, name)
      return registry.lines().filter((line) => line.includes('/manifests/')).map((line) => line.replace(/.*\//, ''))
    }
    expect(await pushed('amd64')).toEqual(['1'])
    expect(registry.asked.at(-1)?.body).toEqual(source.manifests.get('app/manifests/amd64'))
    expect(await pushed('arm64')).toEqual([...manifests.map(({ digest }) => digest), '1'])
    expect(registry.asked.at(-1)?.body).toEqual(index)
    expect(registry.asked.at(-1)?.headers['content-type']).toBe('application/vnd.oci.image.index.v1+json')
  } finally {
    await registry.close()
    await source.close()
    await home.remove()
  }
})
