import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { parseReference } from '../../src/reference.js'
import { fetchManifest } from '../../src/registry/index.js'
import { fakeRegistry } from '../images/fixture.js'

test('a question to a registry loads of undici what it needs, and no more', async () => {
  const registry = await fakeRegistry()
  try {
    const digest = registry.add('app', 'latest', [])
    expect((await fetchManifest(parseReference(`${registry.host}/app`))).digest).toBe(digest)
    const loaded = Object.keys(createRequire(import.meta.url).cache).filter((file) => file.includes('/undici/'))
    expect(loaded.filter((file) => file.endsWith('/lib/dispatcher/agent.js'))).toHaveLength(1)
    expect(loaded.filter((file) => /\/undici\/index\.js$|\/lib\/(web|mock|cache)\//.test(file))).toEqual([])
  } finally {
    await registry.close()
  }
})
