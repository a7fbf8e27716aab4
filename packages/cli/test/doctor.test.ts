import { expect, test } from 'vitest'

import { judge } from '../src/commands/doctor.js'

const good = ['kernel=6.1.0', 'uid=0', 'capabilities=000001ffffffffff', 'overlay=yes', 'controllers=cpu memory pids', 'pidfd=yes', 'clone3=yes', 'openat2=yes']

test('a machine with everything lacks nothing', () => {
  expect(judge(good.join('\n')).filter((finding) => !finding.ok)).toEqual([])
})

test.each([
  ['kernel=5.10.9', 'kernel'], ['uid=1000', 'uid'], ['capabilities=00000000a80425fb', 'capabilities'],
  ['overlay=no', 'overlay'], ['controllers=cpu memory', 'controllers'], ['clone3=no', 'clone3'],
])('%s is a shortfall, with its mend', (line, name) => {
  const facts = good.map((one) => one.startsWith(`${name}=`) ? line : one).join('\n')
  const [finding, ...others] = judge(facts).filter((one) => !one.ok)
  expect(others).toEqual([])
  expect(finding?.name).toBe(name)
  expect(finding?.mend).toBeTruthy()
})
