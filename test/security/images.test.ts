import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { run } from '../../packages/core/src/container/index.js'
import { program } from '../place.js'
import { openPlace, outcome, sh, sleeper, type Place } from './place.js'

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(() => place.close())

test('the LD_PRELOAD of an image is its own programs\' alone', async () => {
  const image = await place.craft([{ name: 'evil.so', content: 'evil' }], { Env: ['PATH=/bin', 'LD_PRELOAD=/evil.so', 'NODE_OPTIONS=--require=/evil.js'] })
  await using container = await run(image, { ...sleeper, command: ['/bin/busybox', 'sleep', '600'] })
  expect((await sh(container, '/bin/busybox env')).stdout).toContain('LD_PRELOAD=/evil.so')
  const ours = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const [words = '', environment = ''] = ['cmdline', 'environ'].map((file) => readFileSync(`/proc/${pid}/${file}`, 'utf8'))
      return words.includes('mayfly') ? [environment] : []
    } catch {
      return []
    }
  })
  expect(ours.length).toBeGreaterThan(0)
  expect(ours.filter((environment) => environment.includes('evil'))).toEqual([])
})

test('device nodes of an image open nothing', async () => {
  const image = await place.craft([
    { name: 'disk', type: 'block', device: [7, 0] }, { name: 'memory', type: 'character', device: [1, 1] }, { name: 'kmsg', type: 'character', device: [1, 11] },
  ])
  const { text } = await outcome(image, { command: ['/bin/busybox', 'sh', '-c', 'for f in /disk /memory /kmsg; do busybox head -c 1 $f >/dev/null 2>&1 && echo read $f; (echo x > $f) 2>/dev/null && echo wrote $f; done; echo end'] })
  expect(text).toBe('end')
})

test('labels and names of an image reach no terminal as more than text', async () => {
  const image = await place.craft([], { Labels: { 'a\u001b[2Jb': '\u001b]0;evil\u0007', __proto__: 'x' }, Cmd: ['\u001b[31m'] })
  const mayfly = async (...words: string[]): Promise<string> => (await promisify(execFile)(process.execPath, [program, ...words])).stdout
  await mayfly('pull', '-q', image)
  for (const words of [['image', 'inspect', image], ['images'], ['history', image]]) expect(await mayfly(...words)).not.toMatch(/[\u001b\u0007]/)
})
