import { describe, expect, test } from 'vitest'

import { parseRestartPolicy, restartDelay } from '../../src/container/restart.js'

describe('restart policies', () => {
  test.each([
    ['no', { name: 'no' }], ['', { name: 'no' }], ['always', { name: 'always' }], ['unless-stopped', { name: 'unless-stopped' }],
    ['on-failure', { name: 'on-failure' }], ['on-failure:3', { name: 'on-failure', most: 3 }], ['on-failure:0', { name: 'on-failure' }],
  ] as const)('%j', (text, policy) => {
    expect(parseRestartPolicy(text)).toEqual(policy)
  })
  test.each(['sometimes', 'always:3', 'on-failure:x', 'on-failure:1:2', 'on-failure:-1'])('%s is none', (text) => {
    expect(() => parseRestartPolicy(text)).toThrow('Invalid restart policy')
  })

  const life = { code: 1, restarts: 0, lasted: 5, waited: 0 }
  test('wait longer each time, up to a minute, and begin anew after a life of ten seconds', () => {
    const always = parseRestartPolicy('always')
    let waited = 0
    const delays = Array.from({ length: 12 }, () => (waited = restartDelay(always, { ...life, waited }) ?? -1))
    expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000])
    expect(restartDelay(always, { ...life, waited: 60_000, lasted: 10_000 })).toBe(100)
  })
  test('start again what they are for', () => {
    expect(restartDelay({ name: 'no' }, life)).toBeUndefined()
    expect(restartDelay({ name: 'on-failure' }, { ...life, code: 0 })).toBeUndefined()
    expect(restartDelay({ name: 'on-failure', most: 2 }, { ...life, restarts: 1 })).toBe(100)
    expect(restartDelay({ name: 'on-failure', most: 2 }, { ...life, restarts: 2 })).toBeUndefined()
    expect(restartDelay({ name: 'unless-stopped' }, { ...life, code: 0 })).toBe(100)
  })
})
