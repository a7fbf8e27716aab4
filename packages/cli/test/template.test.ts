import { describe, expect, test } from 'vitest'

import { compileTemplate, formatInspect, formatList } from '../src/template/index.js'

const image = {
  ID: 'sha256:abc', Tags: ['app:1', 'app:2'], Size: 1024, Empty: '', None: null, Nothing: [] as string[],
  Config: { Env: ['A=1', 'B=2'], Labels: { 'org.example/name': 'x', b: 'y' }, User: '' },
}

describe('a template', () => {
  test.each([
    ['{{.ID}}', 'sha256:abc'],
    ['{{ .ID }} {{.Size}}', 'sha256:abc 1024'],
    ['{{json .Config.Env}}', '["A=1","B=2"]'],
    ['{{json .None}} {{.Config.Labels.none}}', 'null <no value>'],
    ['{{.Tags}} {{.Config.Labels}}', '[app:1 app:2] map[b:y org.example/name:x]'],
    ['{{range .Tags}}<{{.}}>{{end}}', '<app:1><app:2>'],
    ['{{range $i, $tag := .Tags}}{{if $i}}, {{end}}{{$tag}} of {{$.ID}}{{end}}', 'app:1 of sha256:abc, app:2 of sha256:abc'],
    ['{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}', 'b=y;org.example/name=x;'],
    ['{{range .Nothing}}x{{else}}none{{end}}', 'none'],
    ['{{if .Empty}}a{{else if .Config.User}}b{{else}}c{{end}}', 'c'],
    ['{{if and .ID (not .Empty)}}yes{{end}}', 'yes'],
    ['{{if eq .Size 1024}}kb{{end}}{{if gt .Size 2000}}big{{end}}', 'kb'],
    ['{{with .Config}}{{index .Labels "org.example/name"}}{{end}}', 'x'],
    ['{{index .Config.Env 1}}{{(index .Tags 0)}}', 'B=2app:1'],
    ['{{join .Tags ", "}}', 'app:1, app:2'],
    ['{{.ID | upper | printf "%s!"}}', 'SHA256:ABC!'],
    ['{{len .Tags}} {{truncate .ID 6}} {{slice .ID 7}}', '2 sha256 abc'],
    ['{{split "a:b" ":" | json}}', '["a","b"]'],
    ['{{$n := 0}}{{range .Tags}}{{$n = .}}{{end}}{{$n}}', 'app:2'],
    ['a {{- /* why */ -}} b', 'ab'],
    ['a\n  {{- .ID -}}\n  b', 'asha256:abcb'],
    ['{{`raw "text"`}}{{"tab\\t"}}', 'raw "text"tab\t'],
    ['{{println .ID}}', 'sha256:abc\n'],
    ['no action', 'no action'],
  ])('%s', (template, text) => {
    expect(compileTemplate(template)(image)).toBe(text)
  })

  test.each([
    ['{{.ID', '"}}" is missing'],
    ['{{if .ID}}x', '{{end}} is missing'],
    ['{{end}}', 'unexpected {{end}}'],
    ['{{nonsense .ID}}', 'there is no function nonsense'],
    ['{{.Name}}', 'there is no field Name; there are ID, Tags, Size'],
    ['{{(.ID}}', '")" is missing'],
    ['{{$x}}', 'the variable $x is not there'],
    ['{{.ID .Size}}', 'unexpected ".Size"'],
    ['{{}}'.replace('}}', ' & }}'), 'unexpected "&"'],
  ])('%s is refused', (template, why) => {
    expect(() => compileTemplate(template)(image)).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID', message: expect.stringContaining(why) as string }) as Error)
  })

  test('reaches data and nothing of the language', () => {
    for (const path of ['.Config.constructor', '.Config.__proto__', '.Tags.length', 'index .Config "constructor"', '.ID.length']) {
      expect(compileTemplate(`{{${path}}}`)(image)).toBe('<no value>')
    }
    expect(() => compileTemplate('{{.constructor}}')(image)).toThrow('there is no field constructor')
  })
})

describe('a list', () => {
  const rows = [{ ID: '1', Name: 'one', Extra: 'x' }, { ID: '2', Name: 'a longer name', Extra: '' }]
  const columns = [['ID', 'THE ID'], ['Name', 'NAME']] as const

  test('is a table by default, with ten characters a column at least', () => {
    expect(formatList(rows, { columns })).toBe('THE ID    NAME\n1         one\n2         a longer name\n')
    expect(formatList([], { columns })).toBe('THE ID    NAME\n')
  })
  test('is ids, JSON or a template\'s lines', () => {
    expect(formatList(rows, { columns, quiet: 'ID' })).toBe('1\n2\n')
    expect(formatList(rows, { columns, format: 'json' }).split('\n')[0]).toBe('{"ID":"1","Name":"one","Extra":"x"}')
    expect(formatList(rows, { columns, format: '{{.ID}}\\t{{.Name}}' })).toBe('1\tone\n2\ta longer name\n')
  })
  test('is a table of a template\'s columns', () => {
    expect(formatList(rows, { columns, heads: { Extra: 'MORE' }, format: 'table {{.Name}}\\t{{.Extra}}' }))
      .toBe('NAME            MORE\none             x\na longer name\n')
  })
})

test('inspect prints one array, or the template for each', () => {
  expect(formatInspect([{ A: 1 }], undefined)).toBe('[\n    {\n        "A": 1\n    }\n]\n')
  expect(formatInspect([{ A: 1 }, { A: 2 }], '{{.A}}')).toBe('1\n2\n')
})
