/** A table of a TOML document; without a prototype, so that no key means something. */
export type Table = { [key: string]: unknown }

const BARE = /[A-Za-z0-9_-]+/y
const BASIC = /"((?:[^"\\\n]|\\.)*)"/y
const LITERAL = /'([^'\n]*)'/y
const LONG_BASIC = /"""\n?((?:[^\\]|\\[^])*?)"""/y
const LONG_LITERAL = /'''\n?([^]*?)'''/y
const NUMBER = /[+-]?\d[\d_]*/y
const ESCAPES: Readonly<Record<string, string>> = { b: '\b', t: '\t', n: '\n', f: '\f', r: '\r', '"': '"', '\\': '\\' }

/**
 * Reads what registries.conf is written in: TOML 1.0 without dates and fractions. Throws an Error that names the line.
 */
export function parseToml(text: string): Table {
  return new Reader(text.replaceAll('\r\n', '\n')).document()
}

class Reader {
  #at = 0
  constructor(readonly text: string) {}

  document(): Table {
    const root = table()
    let here = root
    for (;;) {
      this.#blank(true)
      if (this.#at === this.text.length) return root
      if (this.#take('[[')) {
        const path = this.#path(']]')
        const [owner, name] = this.#descend(root, path)
        const list = owner[name] ??= []
        if (!Array.isArray(list)) throw this.#wrong(`${name} is no list`)
        list.push(here = table())
      } else if (this.#take('[')) {
        const path = this.#path(']')
        const [owner, name] = this.#descend(root, path)
        here = this.#table(owner, name)
      } else {
        this.#pair(here)
      }
      this.#blank(false)
      if (this.#at < this.text.length && this.text[this.#at] !== '\n') throw this.#wrong('more than one value in a line')
    }
  }

  #pair(into: Table): void {
    const path = this.#path('=')
    const [owner, name] = this.#descend(into, path)
    if (name in owner) throw this.#wrong(`${name} is given twice`)
    this.#blank(false)
    owner[name] = this.#value()
  }

  #path(end: string): string[] {
    const path: string[] = []
    do {
      this.#blank(false)
      const name = this.#match(BARE)?.[0] ?? this.#string()
      if (name === undefined) throw this.#wrong('a name is missing')
      path.push(name)
      this.#blank(false)
    } while (this.#take('.'))
    if (!this.#take(end)) throw this.#wrong(`${end} is missing`)
    return path
  }

  /** The table that holds the last name of a path; of a list its last table. */
  #descend(from: Table, path: readonly string[]): [Table, string] {
    let owner = from
    for (const name of path.slice(0, -1)) owner = this.#table(owner, name)
    return [owner, path.at(-1) ?? '']
  }

  #table(owner: Table, name: string): Table {
    const there = owner[name] ??= table()
    const found: unknown = Array.isArray(there) ? there.at(-1) : there
    if (typeof found !== 'object' || found === null) throw this.#wrong(`${name} is no table`)
    return found as Table
  }

  #value(): unknown {
    const string = this.#string()
    if (string !== undefined) return string
    if (this.#take('[')) return this.#list()
    if (this.#take('{')) return this.#inline()
    if (this.#take('true')) return true
    if (this.#take('false')) return false
    const number = this.#match(NUMBER)
    if (number !== undefined) return Number(number[0].replaceAll('_', ''))
    throw this.#wrong('a value is missing')
  }

  #list(): unknown[] {
    const list: unknown[] = []
    for (;;) {
      this.#blank(true)
      if (this.#take(']')) return list
      list.push(this.#value())
      this.#blank(true)
      if (!this.#take(',') && this.text[this.#at] !== ']') throw this.#wrong('a list has no end')
    }
  }

  #inline(): Table {
    const made = table()
    this.#blank(false)
    if (this.#take('}')) return made
    do {
      this.#pair(made)
      this.#blank(false)
    } while (this.#take(','))
    if (!this.#take('}')) throw this.#wrong('} is missing')
    return made
  }

  #string(): string | undefined {
    const literal = this.#match(LONG_LITERAL) ?? this.#match(LITERAL)
    if (literal !== undefined) return literal[1] ?? ''
    const basic = this.#match(LONG_BASIC) ?? this.#match(BASIC)
    return basic?.[1]?.replace(/\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|\s*\n\s*|(.))/g, (_, short?: string, long?: string, one?: string) => {
      const point = short ?? long
      if (point !== undefined) return String.fromCodePoint(Math.min(Number.parseInt(point, 16), 0x10ffff))
      return one === undefined ? '' : ESCAPES[one] ?? one
    })
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.text)
    if (found === null) return undefined
    this.#at = pattern.lastIndex
    return found
  }

  #take(word: string): boolean {
    if (!this.text.startsWith(word, this.#at)) return false
    this.#at += word.length
    return true
  }

  #blank(lines: boolean): void {
    this.#match(lines ? /(?:\s|#[^\n]*)*/y : /[ \t]*(?:#[^\n]*)?/y)
  }

  #wrong(why: string): Error {
    return new Error(`line ${String(this.text.slice(0, this.#at).split('\n').length)}: ${why}`)
  }
}

function table(): Table {
  return Object.create(null) as Table
}
