import { expect, test } from 'vitest'

import { resolveUser } from '../../src/sandbox/user.js'

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\npostgres:x:999:998::/var/lib/postgresql:/bin/sh\nbroken:x:99999999999:0::/:\n42:x:7:7::/seven:\n'
const GROUP = 'root:x:0:\npostgres:x:998:\nssl-cert:x:110:postgres,other\nstaff:x:50:other\n'

test.each([
  ['', { uid: 0, gid: 0, groups: [0], home: '/root' }],
  ['root', { uid: 0, gid: 0, groups: [0], home: '/root' }],
  ['postgres', { uid: 999, gid: 998, groups: [110, 998], home: '/var/lib/postgresql' }],
  ['999', { uid: 999, gid: 998, groups: [110, 998], home: '/var/lib/postgresql' }],
  ['postgres:staff', { uid: 999, gid: 50, groups: [50], home: '/var/lib/postgresql' }],
  ['1234', { uid: 1234, gid: 0, groups: [0], home: '/' }],
  ['1234:5678', { uid: 1234, gid: 5678, groups: [5678], home: '/' }],
  ['42', { uid: 7, gid: 7, groups: [7], home: '/seven' }],
  [':staff', { uid: 0, gid: 50, groups: [50], home: '/root' }],
])('user %j', (user, identity) => {
  expect(resolveUser(user, PASSWD, GROUP)).toEqual(identity)
})

test.each(['nobody', 'postgres:nogroup', '1:', 'a:b:c', '4294967295', '99999999999999999999', '-1', '0x0', ' 0', '1e3', '+5', 'broken'])(
  'user %j is refused, never taken for another', (user) => {
    expect(() => resolveUser(user, PASSWD, GROUP)).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID' }))
  })

test('an image without account files has numbers and root', () => {
  expect(resolveUser('', '', '')).toEqual({ uid: 0, gid: 0, groups: [0], home: '/root' })
  expect(resolveUser('5:6', '', '')).toEqual({ uid: 5, gid: 6, groups: [6], home: '/' })
})
