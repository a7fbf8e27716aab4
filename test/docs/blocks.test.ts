// The manual shows code of tests: every block of these pages stands in one, line for line.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const sources = readdirSync(join(root, 'test/docs')).filter((name) => name.endsWith('.ts')).map((name) => readFileSync(join(root, 'test/docs', name), 'utf8'))

/** Without what depends on where it stands: indentation, empty lines, and imports, of which the tests have more. */
function linesOf(code: string): string {
  return code.split('\n').map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('import ')).join('\n')
}

test.each(['building.md', 'networks.md', 'waiting.md', 'coming-from-testcontainers.md', 'containers.md'])('%s', (page) => {
  const blocks = [...readFileSync(join(root, 'docs', page), 'utf8').matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = '']) => linesOf(code))
  expect(blocks.length).toBeGreaterThan(0)
  const tested = sources.map(linesOf)
  expect(blocks.filter((block) => !tested.some((source) => source.includes(block)))).toEqual([])
})
