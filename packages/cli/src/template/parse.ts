import { tokenize, type Token } from './tokens.js'

/** What stands for a value: the words of one call, or a plain value when it is one word. */
export type Expression =
  | { readonly kind: 'literal', readonly value: string | number | boolean | null }
  | { readonly kind: 'field', readonly of: Expression, readonly path: readonly string[] }
  | { readonly kind: 'variable', readonly name: string }
  | { readonly kind: 'dot' }
  | { readonly kind: 'call', readonly name: string, readonly words: readonly Expression[] }

export type Node =
  | { readonly kind: 'text', readonly text: string }
  | { readonly kind: 'print', readonly value: Expression }
  | { readonly kind: 'set', readonly name: string, readonly fresh: boolean, readonly value: Expression }
  | { readonly kind: 'if' | 'with', readonly value: Expression, readonly name?: string, readonly body: readonly Node[], readonly otherwise: readonly Node[] }
  | { readonly kind: 'range', readonly value: Expression, readonly names: readonly string[], readonly body: readonly Node[], readonly otherwise: readonly Node[] }

/** A template that cannot be read, or does not fit the value it is to show. */
export class TemplateError extends Error {
  readonly code = 'ERR_MAYFLY_OPTION_INVALID'
  readonly hint = 'Templates are Go\'s: {{.Name}}, {{json .}}, {{range .List}}…{{end}}, {{if .A}}…{{end}}, {{index .Map "key"}}.'
  constructor(template: string, why: string) {
    super(`The template ${JSON.stringify(template)} cannot be used: ${why}`)
  }
}

/** Reads a template. Throws TemplateError. */
export function parseTemplate(template: string): readonly Node[] {
  const fail = (why: string): never => { throw new TemplateError(template, why) }
  const parser = new Parser(pieces(template, fail), fail)
  return parser.body([]).nodes
}

type Fail = (why: string) => never
type Piece = { readonly text: string } | { readonly action: readonly Token[] }

function pieces(template: string, fail: Fail): Piece[] {
  const found: Piece[] = []
  let trim = false
  for (let at = 0; at < template.length;) {
    const open = template.indexOf('{{', at)
    let text = template.slice(at, open < 0 ? undefined : open)
    if (trim) text = text.trimStart()
    const trimmed = open >= 0 && /^\{\{-\s/.test(template.slice(open, open + 4))
    found.push({ text: trimmed ? text.trimEnd() : text })
    if (open < 0) break
    const { tokens, end, trimAfter } = tokenize(template, open + (trimmed ? 3 : 2), fail)
    if (tokens.length > 0) found.push({ action: tokens })
    trim = trimAfter
    at = end
  }
  return found
}

const ENDS = ['end', 'else']

class Parser {
  readonly #pieces: readonly Piece[]
  readonly #fail: Fail
  #at = 0
  #tokens: readonly Token[] = []
  #token = 0

  constructor(all: readonly Piece[], fail: Fail) {
    this.#pieces = all
    this.#fail = fail
  }

  /** Up to one of `stops`, which is taken; with none, up to the end of the template. */
  body(stops: readonly string[]): { nodes: Node[], stop: string } {
    const nodes: Node[] = []
    while (this.#at < this.#pieces.length) {
      const piece = this.#pieces[this.#at++]
      if (piece === undefined) break
      if ('text' in piece) {
        if (piece.text !== '') nodes.push({ kind: 'text', text: piece.text })
        continue
      }
      this.#tokens = piece.action
      this.#token = 0
      const word = this.#peek()
      if (word?.kind === 'word' && ENDS.includes(word.text)) {
        if (!stops.includes(word.text)) this.#fail(`unexpected {{${word.text}}}`)
        this.#token += 1
        if (word.text === 'end') this.#finish()
        return { nodes, stop: word.text }
      }
      nodes.push(this.#action())
    }
    if (stops.length > 0) this.#fail('{{end}} is missing')
    return { nodes, stop: '' }
  }

  #action(): Node {
    const word = this.#peek()
    if (word?.kind === 'word' && ['if', 'with', 'range'].includes(word.text)) {
      this.#token += 1
      return this.#block(word.text as 'if' | 'with' | 'range')
    }
    const [name, operator] = [this.#peek(), this.#peek(1)]
    if (name?.kind === 'variable' && operator?.kind === 'sign' && (operator.text === ':=' || operator.text === '=')) {
      this.#token += 2
      const value = this.#pipeline()
      this.#finish()
      return { kind: 'set', name: name.text, fresh: operator.text === ':=', value }
    }
    const value = this.#pipeline()
    this.#finish()
    return { kind: 'print', value }
  }

  #block(kind: 'if' | 'with' | 'range'): Node {
    const names: string[] = []
    const [first, second] = [this.#peek(), this.#peek(1)]
    if (first?.kind === 'variable' && second?.kind === 'sign' && (second.text === ':=' || second.text === ',')) {
      while (this.#peek()?.kind === 'variable') {
        names.push(this.#peek()?.text ?? '')
        this.#token += 1
        if (!this.#take('sign', ',')) break
      }
      if (!this.#take('sign', ':=')) this.#fail('":=" is missing')
    }
    const value = this.#pipeline()
    this.#finish()
    const { nodes, stop } = this.body(['else', 'end'])
    const otherwise = stop === 'else' ? this.#otherwise() : []
    const [name] = names
    return kind === 'range' ? { kind, value, names, body: nodes, otherwise }
      : { kind, value, body: nodes, otherwise, ...(name === undefined ? {} : { name }) }
  }

  /** What follows `else`: another condition, or a body. */
  #otherwise(): readonly Node[] {
    const word = this.#peek()
    if (word?.kind === 'word' && (word.text === 'if' || word.text === 'with')) {
      this.#token += 1
      return [this.#block(word.text)]
    }
    this.#finish()
    return this.body(['end']).nodes
  }

  #pipeline(): Expression {
    let value = this.#command(undefined)
    while (this.#take('sign', '|')) value = this.#command(value)
    return value
  }

  /** One call with its words; `last` came through a pipe and is the last of them. */
  #command(last: Expression | undefined): Expression {
    const name = this.#peek()
    if (name?.kind === 'word' && !['true', 'false', 'nil'].includes(name.text)) {
      this.#token += 1
      const words: Expression[] = []
      for (let next = this.#operand(); next !== undefined; next = this.#operand()) words.push(next)
      return { kind: 'call', name: name.text, words: last === undefined ? words : [...words, last] }
    }
    const value = this.#operand()
    if (value === undefined) return this.#fail('a value is missing')
    if (last !== undefined) this.#fail('only a function can stand after "|"')
    return value
  }

  #operand(): Expression | undefined {
    const token = this.#peek()
    if (token === undefined) return undefined
    if (token.kind === 'sign' && token.text !== '(') return undefined
    this.#token += 1
    const value = this.#first(token)
    const path: string[] = []
    // Only what follows without a space belongs to it.
    for (let next = this.#peek(); next?.kind === 'field' && next.joined; next = this.#peek()) {
      path.push(...next.path)
      this.#token += 1
    }
    return path.length === 0 ? value : { kind: 'field', of: value, path }
  }

  #first(token: Token): Expression {
    switch (token.kind) {
      case 'string': return { kind: 'literal', value: token.text }
      case 'number': return { kind: 'literal', value: token.value }
      case 'variable': return { kind: 'variable', name: token.text }
      case 'dot': return { kind: 'dot' }
      case 'field': return { kind: 'field', of: { kind: 'dot' }, path: token.path }
      case 'word': {
        if (token.text === 'true' || token.text === 'false') return { kind: 'literal', value: token.text === 'true' }
        return token.text === 'nil' ? { kind: 'literal', value: null } : { kind: 'call', name: token.text, words: [] }
      }
      case 'sign': {
        const value = this.#pipeline()
        if (!this.#take('sign', ')')) this.#fail('")" is missing')
        return value
      }
    }
  }

  #peek(ahead = 0): Token | undefined {
    return this.#tokens[this.#token + ahead]
  }

  #take(kind: Token['kind'], text: string): boolean {
    const token = this.#peek()
    if (token?.kind !== kind || token.text !== text) return false
    this.#token += 1
    return true
  }

  #finish(): void {
    const token = this.#peek()
    if (token !== undefined) this.#fail(`unexpected ${JSON.stringify(token.text)}`)
  }
}
