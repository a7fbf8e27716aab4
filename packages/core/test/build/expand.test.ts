import { expect, test } from 'vitest'
import { expandWord, expandWords } from '../../src/build/dockerfile/expand.js'

const set: Record<string, string> = { foo: 'bar', empty: '', path: '/a/b/c.tar.gz', str: 'foobarbaz' }
const lookup = (name: string): string | undefined => (Object.hasOwn(set, name) ? set[name] : undefined)

test.each([
  ['$foo', 'bar'],
  ['${foo}x', 'barx'],
  ['$foo$foo', 'barbar'],
  ['${missing}', ''],
  ['\\$foo', '$foo'],
  ['\\${foo}', '${foo}'],
  ["'$foo'", '$foo'],
  ['"$foo"', 'bar'],
  ['"a \\"b\\" $foo"', 'a "b" bar'],
  ['"\\n"', '\\n'],
  ['a\\ b', 'a b'],
  ['${missing:-word}', 'word'],
  ['${empty:-word}', 'word'],
  ['${empty-word}', ''],
  ['${missing-word}', 'word'],
  ['${foo:+word}', 'word'],
  ['${empty:+word}', ''],
  ['${empty+word}', 'word'],
  ['${missing:-${foo}}', 'bar'],
  ['${missing:-"a b"}', 'a b'],
  ['${path#*/}', 'a/b/c.tar.gz'],
  ['${path##*/}', 'c.tar.gz'],
  ['${path%.*}', '/a/b/c.tar'],
  ['${path%%.*}', '/a/b/c'],
  ['${path%.gz}', '/a/b/c.tar'],
  ['${str/b?r/X}', 'fooXbaz'],
  ['${str/ba/X}', 'fooXrbaz'],
  ['${str//ba/X}', 'fooXrXz'],
  ['${str//ba}', 'foorz'],
  ['${path//\\//-}', '-a-b-c.tar.gz'],
  ['$', '$'],
  ['a$', 'a$'],
  ['100%', '100%'],
])('%s', (word, expected) => {
  expect(expandWord(word, lookup).text).toBe(expected)
})

test('names that were asked for are told', () => {
  expect([...expandWord('$foo ${missing:-$path}', lookup).used]).toEqual(['foo', 'missing', 'path'])
})

test('a value\'s spaces split, a quoted one\'s do not', () => {
  const words = (text: string): readonly string[] => expandWords(text, name => (name === 'ports' ? '80 443' : undefined)).words
  expect(words('$ports 8080')).toEqual(['80', '443', '8080'])
  expect(words('a" b" \'c d\'')).toEqual(['a b', 'c d'])
})

test.each([
  ['${foo', 'not closed'],
  ['${foo:=x}', 'no modifier'],
  ['${missing:?must be set}', 'missing: must be set'],
  ['"open', 'double quote'],
  ['\'open', 'single quote'],
  ['${}', 'not followed by a name'],
])('%s is refused', (word, message) => {
  expect(() => expandWord(word, lookup)).toThrow(message)
})

test('the escape character can be the backtick', () => {
  expect(expandWord('C:\\dir\\`$foo', lookup, '`').text).toBe('C:\\dir\\$foo')
})
