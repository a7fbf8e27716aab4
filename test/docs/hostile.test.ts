// docs/security.md, "Hostile images": whether its rows have tests, and every case that must have one has a row.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const section = readFileSync(join(root, 'docs/security.md'), 'utf8').split('## Hostile images')[1] ?? ''
const rows = section.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| case |')).map((line) => line.split('|').map((cell) => cell.trim()))

/** What is known to have been tried on other tools, by a word of its row. */
const CASES = [
  '`..` in a name', 'absolute names', 'NUL', 'CVE-2020-27833', 'CVE-2026-23745', 'CVE-2026-26960', 'CVE-2021-29136', 'hard links to files of the host, then their mode',
  'whiteout through a symbolic link', 'device nodes', 'attributes', 'setuid', 'bomb of size', 'bomb of ratio', 'bomb of entries', 'bomb of depth', 'extended headers', 'sparse',
  'CVE-2024-3727', 'diffID', 'CVE-2021-41190', 'without measure', 'nested', '__proto__', 'credentials', 'labels', 'LD_PRELOAD', 'WORKDIR', 'USER', 'VOLUME', '`load`',
  'kill -9', 'full disk', 'dies half-way', 'at once', 'garbage collection',
]

test('every row names a test that is there', () => {
  expect(rows.filter((cells) => cells.length !== 5 || !isThere(cells[3] ?? '')).map((cells) => cells.join(' | '))).toEqual([])
})

test.each(CASES)('a row is about: %s', (word) => {
  expect(rows.filter(([, name = '']) => name.includes(word)).length).toBeGreaterThan(0)
})

/** `security/images: device nodes …` stands as a name in test/security/images.test.ts; below `core/` in packages/core/test. */
function isThere(cell: string): boolean {
  const [, path = '', name = ''] = /^([\w/-]+): (.+)$/.exec(cell) ?? []
  const file = join(root, path.startsWith('core/') ? path.replace('core/', 'packages/core/test/') : `test/${path}`) + '.test.ts'
  return existsSync(file) && readFileSync(file, 'utf8').replaceAll('\\\'', '\'').split('\n').some((line) => ["'", '`', '} '].some((before) => line.includes(`${before}${name}'`) || line.includes(`${before}${name}\``)))
}
