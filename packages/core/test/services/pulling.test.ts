import { expect, test } from 'vitest'

import { openStore, pullImage } from '../../src/images/index.js'
import { parseReference } from '../../src/reference.js'
import { describePull } from '../../src/services/pulling.js'
import { fakeRegistry, tar, temporaryHome } from '../images/fixture.js'

test('a pull that somebody waits for is told every five seconds, a short one never', async () => {
  const registry = await fakeRegistry()
  const home = await temporaryHome()
  try {
    registry.add('app', 'latest', [tar([{ name: 'a', content: 'a' }]), tar([{ name: 'b', content: 'b' }])])
    const lines: string[] = []
    let time = 0
    const store = await openStore(home.path)
    const told: number[] = []
    const describe = describePull((line) => lines.push(line), () => time)
    await pullImage(store, parseReference(`${registry.host}/app`), {
      onProgress: (progress) => {
        told.push(time += 2500)
        describe(progress)
      },
    })
    expect(lines).toHaveLength(Math.floor(told.length / 2))
    expect(lines.length).toBeGreaterThan(1)
    for (const line of lines) expect(line).toMatch(new RegExp(`^mayfly: pulling ${registry.host}/app: \\d+ B of \\d+ B, [\\d.]+ \\w+/s, [0-2] of 2 layers\\n$`))
    registry.add('short', 'latest', [tar([{ name: 'c', content: 'c' }])])
    lines.length = 0
    await pullImage(store, parseReference(`${registry.host}/short`), { onProgress: describePull((line) => lines.push(line), () => 0) })
    expect(lines).toEqual([])
  } finally {
    await registry.close()
    await home.remove()
  }
})
