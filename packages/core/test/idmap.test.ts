import { expect, test } from 'vitest'

import { nestedMap, rangesMend, userMap, type UserFacts } from '../src/idmap.js'

const alice: UserFacts = {
  uid: 1000, gid: 1001, name: 'alice', mappers: true, subuid: 'alice:100000:65536\n', subgid: 'bob:100000:65536\nalice:165536:65536\n',
}

test('a user with ranges is root, and has what the files lend behind it', () => {
  expect(userMap(alice)).toEqual({ uids: '0:1000:1,1:100000:65536', gids: '0:1001:1,1:165536:65536' })
})

test('ranges are found by name or number, and several follow one another', () => {
  const subuid = '# lent\n1000:200000:10\nalicea:1:1\nalice:300000:5\nalice:bad:5\nalice:4294967295:5\n'
  expect(userMap({ ...alice, subuid }).uids).toBe('0:1000:1,1:200000:10,11:300000:5')
})

test.each<[string, Partial<UserFacts>, string]>([
  ['neither', { subuid: '', subgid: '' }, 'Add these lines as root:\n  /etc/subuid:  alice:100000:65536\n  /etc/subgid:  alice:100000:65536'],
  ['no groups', { subgid: 'bob:100000:65536\n' }, 'Add this line as root:\n  /etc/subgid:  alice:165536:65536'],
  ['no users, after others', { subuid: 'bob:900000:65536' }, 'Add this line as root:\n  /etc/subuid:  alice:965536:65536'],
  ['no newuidmap', { mappers: false }, 'Install newuidmap and newgidmap: the package uidmap (Debian, Ubuntu), shadow-utils (Fedora), shadow-uidmap (Alpine).'],
])('%s: root alone, and what to do about it', (_what, facts, lacking) => {
  expect(userMap({ ...alice, ...facts })).toEqual({ uids: '0:1000:1', gids: '0:1001:1', lacking })
  expect(rangesMend({ ...alice, ...facts })).toBe(lacking)
})

test('root of a surrounding namespace keeps its ids, extent by extent', () => {
  expect(nestedMap('         0       1000          1\n         1     100000      65536\n')).toBe('0:0:1,1:1:65536')
})
