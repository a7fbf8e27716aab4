import { expect, test } from 'vitest'
import { parseDockerfile } from '../../src/build/dockerfile/parse.js'
import type { Instruction } from '../../src/build/dockerfile/types.js'

const parse = (text: string): readonly Instruction[] => parseDockerfile({ file: 'Dockerfile', text }).instructions
const second = (text: string): unknown => {
  const { place: _place, source: _source, ...rest } = parse(`FROM a\n${text}`)[1] ?? ({} as Instruction)
  return rest
}

test('directives, comments and continued lines', () => {
  const { directives, instructions } = parseDockerfile({
    file: 'Dockerfile',
    text: '# syntax=docker/dockerfile:1\n# escape=`\n# a comment\nFROM a\nRUN one `\n  # between\n\n  && two\n',
  })
  expect(directives).toEqual({ syntax: 'docker/dockerfile:1', escape: '`' })
  expect(instructions[1]).toMatchObject({ kind: 'RUN', command: { form: 'shell', text: 'one   && two' }, place: { line: 5, column: 1 } })
})

test.each<[string, object]>([
  ['RUN echo hi', { kind: 'RUN', command: { form: 'shell', text: 'echo hi', heredocs: [] }, mounts: [] }],
  ['RUN ["echo", "hi"]', { kind: 'RUN', command: { form: 'exec', words: ['echo', 'hi'] }, mounts: [] }],
  ['RUN [ -f x ]', { kind: 'RUN', command: { form: 'shell', text: '[ -f x ]', heredocs: [] }, mounts: [] }],
  ['RUN --mount=type=cache,target=/c,sharing=locked --network=none make', {
    kind: 'RUN', network: 'none', command: { form: 'shell', text: 'make', heredocs: [] }, mounts: [{ type: 'cache', options: { target: '/c', sharing: 'locked' } }],
  }],
  ['RUN --mount=type=secret,id=key,dst=/k cat /k', {
    kind: 'RUN', command: { form: 'shell', text: 'cat /k', heredocs: [] }, mounts: [{ type: 'secret', options: { id: 'key', target: '/k' } }],
  }],
  ['ENV a=1 b="two words" c=x\\ y', { kind: 'ENV', pairs: [{ name: 'a', value: '1' }, { name: 'b', value: '"two words"' }, { name: 'c', value: 'x\\ y' }] }],
  ['ENV a one two', { kind: 'ENV', pairs: [{ name: 'a', value: 'one two' }] }],
  ['ARG a b=c d=', { kind: 'ARG', args: [{ name: 'a' }, { name: 'b', value: 'c' }, { name: 'd', value: '' }] }],
  ['COPY --from=build --chown=1:2 --chmod=755 --link a b /c/', {
    kind: 'COPY', from: 'build', chown: '1:2', chmod: '755', link: true, parents: false, keepGitDir: false, exclude: [], sources: ['a', 'b'], destination: '/c/', heredocs: [],
  }],
  ['COPY ["a b", "/c d"]', { kind: 'COPY', link: false, parents: false, keepGitDir: false, exclude: [], sources: ['a b'], destination: '/c d', heredocs: [] }],
  ['ADD --checksum=sha256:aa https://x/y /z', { kind: 'ADD', checksum: 'sha256:aa', link: false, parents: false, keepGitDir: false, exclude: [], sources: ['https://x/y'], destination: '/z', heredocs: [] }],
  ['EXPOSE 80 443/tcp', { kind: 'EXPOSE', words: ['80', '443/tcp'] }],
  ['VOLUME ["/a", "/b"]', { kind: 'VOLUME', words: ['/a', '/b'] }],
  ['VOLUME /a /b', { kind: 'VOLUME', words: ['/a', '/b'] }],
  ['CMD ["a"]', { kind: 'CMD', command: { form: 'exec', words: ['a'] } }],
  ['ENTRYPOINT a b', { kind: 'ENTRYPOINT', command: { form: 'shell', text: 'a b', heredocs: [] } }],
  ['SHELL ["/bin/bash", "-c"]', { kind: 'SHELL', words: ['/bin/bash', '-c'] }],
  ['USER 1000:1000', { kind: 'USER', value: '1000:1000' }],
  ['STOPSIGNAL SIGQUIT', { kind: 'STOPSIGNAL', value: 'SIGQUIT' }],
  ['HEALTHCHECK --interval=5s --retries=2 CMD curl -f x', {
    kind: 'HEALTHCHECK', interval: '5s', retries: '2', command: { form: 'shell', text: 'curl -f x', heredocs: [] },
  }],
  ['HEALTHCHECK NONE', { kind: 'HEALTHCHECK' }],
  ['ONBUILD RUN make', { kind: 'ONBUILD', trigger: 'RUN make' }],
  ['from a as b', { kind: 'FROM', image: 'a', name: 'b' }],
  ['FROM --platform=$BUILDPLATFORM a', { kind: 'FROM', image: 'a', platform: '$BUILDPLATFORM' }],
])('%s', (text, expected) => {
  expect(second(text)).toEqual(expected)
})

test('heredocs', () => {
  const text = [
    'FROM a',
    'RUN <<EOF',
    'echo $x',
    'EOF',
    "COPY <<-'one' <<two /etc/",
    '\tfirst',
    '\tone',
    'second',
    'two',
    'RUN cat "<<no" && python3 <<PY > out',
    'print("hi")',
    'PY',
    'RUN echo done',
  ].join('\n')
  expect(parse(text).slice(1)).toMatchObject([
    { kind: 'RUN', command: { text: '<<EOF', heredocs: [{ name: 'EOF', content: 'echo $x\n', expand: true }] } },
    { kind: 'COPY', sources: [], destination: '/etc/', heredocs: [
      { name: 'one', content: 'first\n', expand: false, stripTabs: true }, { name: 'two', content: 'second\n', expand: true },
    ] },
    { kind: 'RUN', command: { heredocs: [{ name: 'PY', content: 'print("hi")\n' }] } },
    { kind: 'RUN', command: { text: 'echo done' } },
  ])
})

test.each([
  ['FORM a', 1, 1, 'unknown instruction FORM', 'Did you mean FROM?'],
  ['FROM a\n  RUNN x', 2, 3, 'unknown instruction RUNN', 'Did you mean RUN?'],
  ['FROM a\nCOPY --form=b c d', 2, 6, 'COPY has no flag --form', 'Did you mean --from?'],
  ['FROM a\nCOPY c', 2, 6, 'at least one source', undefined],
  ['FROM a b c', 1, 8, 'takes an image', undefined],
  ['RUN x\nFROM a', 1, 1, 'RUN stands before the first FROM', undefined],
  ['ARG a', 1, 1, 'there is no FROM', undefined],
  ['# nothing', 1, 1, 'no instructions', undefined],
  ['FROM a AS x\nFROM b AS X', 2, 1, 'two stages are called', undefined],
  ['FROM a\nRUN <<EOF\necho', 2, 4, 'heredoc <<EOF has no end', undefined],
  ['FROM a\nENV a=1 b', 2, 9, '"b" has no value', undefined],
  ['FROM a\nRUN --mount=type=bnd,target=/x y', 2, 5, 'no type "bnd"', undefined],
  ['FROM a\nRUN --mount=type=cache,tagret=/x y', 2, 5, 'no option "tagret"', 'Did you mean target?'],
  ['FROM a\nRUN a && \\\n  b\nSHELL bash', 4, 7, 'SHELL takes a JSON array', undefined],
  ['FROM a\nONBUILD FROM b', 2, 9, 'ONBUILD FROM', undefined],
  ['FROM a\nHEALTHCHECK curl', 2, 13, 'followed by CMD or NONE', undefined],
])('%j is refused at its place', (text, line, column, message, hint) => {
  const expected = { code: 'ERR_MAYFLY_DOCKERFILE_INVALID', message: expect.stringContaining(`Dockerfile:${String(line)}:${String(column)}: `) as string, ...(hint === undefined ? {} : { hint }) }
  expect(() => parse(text)).toThrow(expect.objectContaining(expected) as Error)
  expect(() => parse(text)).toThrow(message)
})

test('an error shows the line, and marks the place', () => {
  expect(() => parse('FROM a\n\tCOPY --form=b c d\n')).toThrow('Dockerfile:2:7: COPY has no flag --form\n  2 | \tCOPY --form=b c d\n    | \t     ^')
})
