import imported from '@balena/dockerignore'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readIgnore } from '../../src/build/ignore.js'

// Its types tell of a default export; what there is is the function itself.
const dockerignore = imported as unknown as typeof imported.default

const paths = ['a', 'a/b', 'a/b/c', 'a/b/c.txt', 'a/x.md', 'README.md', 'README-secret.md', 'temp', 'tempa', 'dir/tempb', 'dir/deep/file.go', 'node_modules/x/y', '.git/HEAD', 'docs/a.md', 'docs/keep.md', 'a b']

test.each<[string, readonly string[]]>([
  ['', []],
  ['# a comment\n\n', []],
  ['*/temp*', ['dir/tempb']],
  ['temp?', ['tempa']],
  ['**/*.md', ['a/x.md', 'README.md', 'README-secret.md', 'docs/a.md', 'docs/keep.md']],
  ['*.md\n!README*.md\nREADME-secret.md', ['README-secret.md']],
  ['*\n!docs', paths.filter(path => !path.startsWith('docs'))],
  ['docs\n!docs/keep.md', ['docs/a.md']],
  ['/node_modules/', ['node_modules/x/y']],
  ['./a/../docs', ['docs/a.md', 'docs/keep.md']],
  ['a/b/**', ['a/b/c', 'a/b/c.txt']],
  ['a b', ['a b']],
  ['[a-c]/x.md', ['a/x.md']],
  ['**', paths],
  ['.', []],
])('%j', (text, expected) => {
  const ignore = readIgnore(text)
  expect(paths.filter(path => ignore.excludes(path))).toEqual(expected)
})

test('a directory left out is looked into only where something is taken back in', () => {
  const ignore = readIgnore('*\n!docs/keep\n!src/**/*.ts')
  expect(['docs', 'docs/keep', 'src', 'src/a', 'node_modules'].filter(path => ignore.mayInclude(path))).toEqual(['docs', 'docs/keep', 'src', 'src/a'])
})

test('agrees with another implementation on random patterns', () => {
  const part = fc.constantFrom('a', 'b', 'c.txt', '*', 'a*', '?', '**', '*.md', 'docs')
  const pattern = fc.tuple(fc.boolean(), fc.array(part, { minLength: 1, maxLength: 3 })).map(([include, parts]) => `${include ? '!' : ''}${parts.join('/')}`)
  fc.assert(fc.property(fc.array(pattern, { maxLength: 5 }), patterns => {
    const ours = readIgnore(patterns.join('\n'))
    const theirs = dockerignore({ ignorecase: false }).add(patterns)
    expect(paths.filter(path => !ours.excludes(path))).toEqual(paths.filter(path => !theirs.ignores(path)))
  }), { numRuns: 500 })
})
