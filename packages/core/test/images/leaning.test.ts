import { lstat, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { expect, test } from 'vitest'

import { openStore, pullImage } from '../../src/images/index.js'
import { parseReference } from '../../src/reference.js'
import { fakeRegistry, sha256, tar, temporaryHome } from './fixture.js'

test('a layer that leans on lower ones takes their modes and files, and is kept per chain', async () => {
  const registry = await fakeRegistry()
  const home = await temporaryHome()
  try {
    const leaning = tar([
      { name: 'data/inner/new', content: 'new' },
      { name: 'data/alias', type: '1', target: 'data/original' },
    ])
    const closed = tar([{ name: 'data/', type: '5', mode: 0o700 }, { name: 'data/original', content: 'a', mode: 0o640 }])
    const open = tar([{ name: 'data/', type: '5', mode: 0o1777 }, { name: 'data/original', content: 'b', mode: 0o604 }])
    registry.add('closed', 'latest', [closed, leaning])
    registry.add('open', 'latest', [open, leaning])
    const store = await openStore(home.path)
    for (const [name, directory, file] of [['closed', 0o700, 0o640], ['open', 0o1777, 0o604]] as const) {
      const { layers: [top = ''] } = await pullImage(store, parseReference(`${registry.host}/${name}`))
      expect((await lstat(join(top, 'data'))).mode & 0o7777).toBe(directory)
      expect((await lstat(join(top, 'data/alias'))).mode & 0o7777).toBe(file)
      expect((await stat(join(top, 'data/inner'))).isDirectory()).toBe(true)
      expect(basename(dirname(top))).not.toBe(sha256(leaning).slice(7))
    }
  } finally {
    await registry.close()
    await home.remove()
  }
})
