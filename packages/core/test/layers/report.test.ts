import { expect, test } from 'vitest'

import { parseReport } from '../../src/layers/native.js'

test('the report of untar names implicit directories, links into lower layers and how the root is', () => {
  expect(parseReport('root 1755 0 70000\nimplicit usr/a b\nopaque usr/c d\nbelow x y\tusr/z w\ndone 3 100\n')).toEqual({
    implicit: ['usr/a b'],
    opaque: ['usr/c d'],
    linksBelow: [{ path: 'x y', target: 'usr/z w' }],
    devices: 0, bytes: 100,
    root: { mode: 0o1755, uid: 0, gid: 70000 },
  })
  expect(parseReport('done 0 0\n')).toEqual({ implicit: [], opaque: [], linksBelow: [], devices: 0, bytes: 0 })
})
