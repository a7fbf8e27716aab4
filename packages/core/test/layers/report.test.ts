import { expect, test } from 'vitest'

import { parseReport } from '../../src/layers/native.js'

test('the report of untar names implicit directories and links into lower layers', () => {
  expect(parseReport('implicit usr/a b\nbelow x y\tusr/z w\ndone 3 100\n')).toEqual({
    implicit: ['usr/a b'],
    linksBelow: [{ path: 'x y', target: 'usr/z w' }],
  })
  expect(parseReport('done 0 0\n')).toEqual({ implicit: [], linksBelow: [] })
})
