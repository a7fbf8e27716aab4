/** A word of an action. `joined`: nothing stands between it and the one before. */
export type Token = { readonly text: string, readonly joined: boolean } & (
  | { readonly kind: 'word' | 'variable' | 'string' | 'dot' | 'sign' }
  | { readonly kind: 'number', readonly value: number }
  | { readonly kind: 'field', readonly path: readonly string[] }
)

const SPACE = /\s+/y
const END = /(?:\s-)?\}\}/y
const COMMENT = /\/\*[\s\S]*?\*\/(?=\s*-?\}\})/y
const FIELD = /(?:\.[\p{L}_][\p{L}\p{N}_]*)+/uy
const DOT = /\.(?![\p{L}\p{N}_])/uy
const VARIABLE = /\$[\p{L}\p{N}_]*/uy
const WORD = /[\p{L}_][\p{L}\p{N}_]*/uy
const NUMBER = /[+-]?\d+(?:\.\d+)?/y
const SIGN = /:=|[=|(),]/y
const STRING = /"(?:[^"\\\n]|\\.)*"/y
const RAW = /`[^`]*`/y

/** The words of an action that begins at `start`, behind its braces, and where it ends. */
export function tokenize(
  template: string, start: number, fail: (why: string) => never,
): { tokens: Token[], end: number, trimAfter: boolean } {
  const tokens: Token[] = []
  let at = start
  let joined = false
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const text = pattern.exec(template)?.[0]
    if (text !== undefined) at += text.length
    return text
  }
  const add = (token: Omit<Token, 'joined'>): void => {
    tokens.push({ ...token, joined } as Token)
    joined = true
  }
  while (at < template.length) {
    const end = match(END)
    if (end !== undefined) return { tokens, end: at, trimAfter: end.includes('-') }
    if (match(SPACE) !== undefined || match(COMMENT) !== undefined) {
      joined = false
      continue
    }
    const found = nextToken(match, fail)
    if (found === undefined) fail(`unexpected ${JSON.stringify(template.slice(at, at + 1))}`)
    else add(found)
  }
  return fail('"}}" is missing')
}

function nextToken(match: (pattern: RegExp) => string | undefined, fail: (why: string) => never): Omit<Token, 'joined'> | undefined {
  const field = match(FIELD)
  if (field !== undefined) return { kind: 'field', text: field, path: field.slice(1).split('.') } as Omit<Token, 'joined'>
  const simple = ([[DOT, 'dot'], [WORD, 'word'], [SIGN, 'sign']] as const).flatMap(([pattern, kind]) => {
    const text = match(pattern)
    return text === undefined ? [] : [{ kind, text }]
  })[0]
  if (simple !== undefined) return simple
  const variable = match(VARIABLE)
  if (variable !== undefined) return { kind: 'variable', text: variable }
  const number = match(NUMBER)
  if (number !== undefined) return { kind: 'number', text: number, value: Number(number) } as Omit<Token, 'joined'>
  const raw = match(RAW)
  if (raw !== undefined) return { kind: 'string', text: raw.slice(1, -1) }
  const string = match(STRING)
  return string === undefined ? undefined : { kind: 'string', text: unescape(string, fail) }
}

function unescape(quoted: string, fail: (why: string) => never): string {
  try {
    return JSON.parse(quoted) as string
  } catch {
    return fail(`unexpected escape in ${quoted}`)
  }
}
