import { FUNCTIONS, property, show, truth } from './functions.js'
import { parseTemplate, TemplateError, type Expression, type Node } from './parse.js'

/** Fills in one value. Throws TemplateError for a field the value does not have. */
export type Template = (value: unknown) => string

/** Makes a template ready for any number of values. Throws TemplateError. */
export function compileTemplate(template: string): Template {
  const nodes = parseTemplate(template)
  return (value) => new Evaluation(template, value).run(nodes, value, new Scope(undefined))
}

class Scope {
  readonly #values = new Map<string, unknown>()
  readonly #outer: Scope | undefined
  constructor(outer: Scope | undefined) {
    this.#outer = outer
  }

  get(name: string): { readonly value: unknown } | undefined {
    return this.#values.has(name) ? { value: this.#values.get(name) } : this.#outer?.get(name)
  }

  define(name: string, value: unknown): void {
    this.#values.set(name, value)
  }

  assign(name: string, value: unknown): boolean {
    if (!this.#values.has(name)) return this.#outer?.assign(name, value) ?? false
    this.#values.set(name, value)
    return true
  }
}

class Evaluation {
  readonly #template: string
  readonly #root: unknown

  constructor(template: string, root: unknown) {
    this.#template = template
    this.#root = root
  }

  run(nodes: readonly Node[], dot: unknown, scope: Scope): string {
    return nodes.map((node) => this.#node(node, dot, scope)).join('')
  }

  #node(node: Node, dot: unknown, scope: Scope): string {
    if (node.kind === 'text') return node.text
    const value = this.#value(node.value, dot, scope)
    switch (node.kind) {
      case 'print': return show(value)
      case 'set':
        if (node.fresh) scope.define(node.name, value)
        else if (!scope.assign(node.name, value)) this.#fail(`the variable ${node.name} is not there`)
        return ''
      case 'if':
      case 'with': {
        const inner = new Scope(scope)
        if (node.name !== undefined) inner.define(node.name, value)
        if (!truth(value)) return this.run(node.otherwise, dot, inner)
        return this.run(node.body, node.kind === 'with' ? value : dot, inner)
      }
      case 'range': {
        const entries = entriesOf(value)
        if (entries.length === 0) return this.run(node.otherwise, dot, new Scope(scope))
        return entries.map(([key, item]) => {
          const inner = new Scope(scope)
          const [first, second] = node.names
          if (first !== undefined) inner.define(first, second === undefined ? item : key)
          if (second !== undefined) inner.define(second, item)
          return this.run(node.body, item, inner)
        }).join('')
      }
    }
  }

  #value(expression: Expression, dot: unknown, scope: Scope): unknown {
    switch (expression.kind) {
      case 'literal': return expression.value
      case 'dot': return dot
      case 'variable': {
        if (expression.name === '$') return this.#root
        const found = scope.get(expression.name)
        return found === undefined ? this.#fail(`the variable ${expression.name} is not there`) : found.value
      }
      case 'field': return this.#field(this.#value(expression.of, dot, scope), expression.path)
      case 'call': {
        const called = FUNCTIONS.get(expression.name)
        if (called === undefined) return this.#fail(`there is no function ${expression.name}`)
        return called(...expression.words.map((word) => this.#value(word, dot, scope)))
      }
    }
  }

  #field(value: unknown, path: readonly string[]): unknown {
    return path.reduce((at, name) => {
      // What the command shows has all its fields; what an image or a user wrote need not.
      if (at === this.#root && typeof at === 'object' && at !== null && !Object.hasOwn(at, name)) {
        this.#fail(`there is no field ${name}; there are ${Object.keys(at).join(', ')}`)
      }
      return property(at, name)
    }, value)
  }

  #fail(why: string): never {
    throw new TemplateError(this.#template, why)
  }
}

function entriesOf(value: unknown): readonly (readonly [unknown, unknown])[] {
  if (Array.isArray(value)) return [...(value as unknown[]).entries()]
  if (typeof value === 'object' && value !== null) return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return []
}
