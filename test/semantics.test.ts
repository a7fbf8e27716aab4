import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')

test('every decision of docs/semantics.md names tests that there are', () => {
  const rows = readFileSync(join(root, 'docs/semantics.md'), 'utf8').split('\n').filter((line) => line.startsWith('| ')).slice(1)
  expect(rows.length).toBeGreaterThan(15)
  const missing = rows.flatMap((row) => {
    const [, question = '', , tests = ''] = row.split(/(?<!\\)\|/).map((cell) => cell.trim())
    const named = tests.split(' · ').map((one) => /^(\S+): (.+)$/.exec(one))
    return named.flatMap((match) => {
      const [, file = '', title = ''] = match ?? []
      const path = join(root, file)
      const found = match !== null && existsSync(path) && readFileSync(path, 'utf8').includes(title)
      return found ? [] : [`${question}: ${match?.[0] ?? tests}`]
    })
  })
  expect(missing).toEqual([])
})
