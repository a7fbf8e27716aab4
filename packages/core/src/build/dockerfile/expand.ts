/** The value of a variable, or undefined when it is not set. */
export type Lookup = (name: string) => string | undefined

export interface Expanded {
  readonly text: string
  /** Names whose values were asked for: they belong to the cache key. */
  readonly used: ReadonlySet<string>
}

/** Thrown for text no shell would take; the caller knows the place. */
export class ExpansionError extends Error {}

/**
 * Expands a word as BuildKit's frontend does: `$name`, `${name}`, `${name:-word}`, `:+`, `:?`, the same without colon,
 * `#`, `##`, `%`, `%%`, `/` and `//` with shell patterns; single quotes keep everything, double quotes expand, the escape
 * character keeps what follows. Quotes are removed. [Dockerfile reference, "Environment replacement"]
 */
export function expandWord(text: string, lookup: Lookup, escape = '\\'): Expanded {
  const used = new Set<string>()
  const reader = new Reader(text, name => { used.add(name); return lookup(name) }, escape)
  return { text: reader.until(undefined), used }
}

/** Expands, then splits at spaces that no quote protects: `EXPOSE $PORTS`. */
export function expandWords(text: string, lookup: Lookup, escape = '\\'): { readonly words: readonly string[]; readonly used: ReadonlySet<string> } {
  const used = new Set<string>()
  const reader = new Reader(text, name => { used.add(name); return lookup(name) }, escape)
  return { words: reader.words(), used }
}

/** Stands for a space that quotes protect, while words are being split. */
const PROTECTED = '\u0000'

class Reader {
  #at = 0
  readonly #text: string
  readonly #lookup: Lookup
  readonly #escape: string
  #splitting = false

  constructor(text: string, lookup: Lookup, escape: string) {
    this.#text = text
    this.#lookup = lookup
    this.#escape = escape
  }

  words(): readonly string[] {
    this.#splitting = true
    return this.until(undefined).split(/[ \t\n]+/).filter(word => word !== '').map(word => word.replaceAll(PROTECTED, ' '))
  }

  /** Up to `end`, which is taken and left out; without one, to the end of the text. */
  until(end: string | undefined): string {
    let out = ''
    for (;;) {
      const character = this.#text[this.#at]
      if (character === undefined) {
        if (end !== undefined) throw new ExpansionError(`"${end}" is missing in ${this.#text}`)
        return out
      }
      this.#at += 1
      if (character === end) return out
      if (character === "'") out += this.#protect(this.#single())
      else if (character === '"') out += this.#protect(this.#double())
      else if (character === '$') out += this.#variable()
      else if (character === this.#escape) {
        const next = this.#text[this.#at]
        if (next !== undefined) {
          this.#at += 1
          out += this.#protect(next)
        }
      } else out += character
    }
  }

  #protect(text: string): string {
    return this.#splitting ? text.replace(/[ \t\n]/g, PROTECTED) : text
  }

  #single(): string {
    const end = this.#text.indexOf("'", this.#at)
    if (end < 0) throw new ExpansionError('a single quote is not closed')
    const out = this.#text.slice(this.#at, end)
    this.#at = end + 1
    return out
  }

  #double(): string {
    let out = ''
    for (;;) {
      const character = this.#text[this.#at]
      if (character === undefined) throw new ExpansionError('a double quote is not closed')
      this.#at += 1
      if (character === '"') return out
      if (character === '$') out += this.#variable()
      else if (character === this.#escape) {
        const next = this.#text[this.#at]
        if (next === undefined) throw new ExpansionError('a double quote is not closed')
        this.#at += 1
        // Before anything else it stands for itself.
        out += next === '"' || next === '$' || next === this.#escape ? next : character + next
      } else out += character
    }
  }

  #variable(): string {
    if (this.#text[this.#at] !== '{') {
      const name = /^(?:[A-Za-z_]\w*|[0-9@*#?!$-])/.exec(this.#text.slice(this.#at))?.[0]
      if (name === undefined) return '$'
      this.#at += name.length
      return this.#lookup(name) ?? ''
    }
    this.#at += 1
    const name = /^(?:[A-Za-z_]\w*|[0-9@*#?!$-])/.exec(this.#text.slice(this.#at))?.[0]
    if (name === undefined) throw new ExpansionError('${ is not followed by a name')
    this.#at += name.length
    return this.#modified(name)
  }

  #modified(name: string): string {
    const rest = this.#text.slice(this.#at)
    const operator = /^(?::[-+?]|[-+?}]|##?|%%?|\/\/?)/.exec(rest)?.[0]
    if (operator === undefined) throw new ExpansionError(rest === '' ? '${ is not closed' : `\${${name} is followed by "${rest[0] ?? ''}", which is no modifier`)
    this.#at += operator.length
    const value = this.#lookup(name)
    if (operator === '}') return value ?? ''
    if (operator.startsWith('/')) {
      const pattern = this.#until(['/', '}'])
      const replacement = pattern.end === '/' ? this.until('}') : ''
      return replace(value ?? '', pattern.text, replacement, operator === '//')
    }
    const word = this.until('}')
    const present = operator.startsWith(':') ? value !== undefined && value !== '' : value !== undefined
    switch (operator.at(-1)) {
      case '-': return present ? value ?? '' : word
      case '+': return present ? word : ''
      case '?':
        if (present) return value ?? ''
        throw new ExpansionError(`${name}: ${word === '' ? 'is not set' : word}`)
      case '#': return trimStart(value ?? '', word, operator === '##')
      default: return trimEnd(value ?? '', word, operator === '%%')
    }
  }

  #until(ends: readonly string[]): { readonly text: string; readonly end: string } {
    let out = ''
    for (;;) {
      const character = this.#text[this.#at]
      if (character === undefined) throw new ExpansionError('${ is not closed')
      this.#at += 1
      if (ends.includes(character)) return { text: out, end: character }
      if (character === this.#escape && ends.includes(this.#text[this.#at] ?? '')) {
        out += this.#text[this.#at] ?? ''
        this.#at += 1
      } else if (character === '$') out += this.#variable()
      else out += character
    }
  }
}

/** A shell pattern (`*`, `?`, classes and escapes) as regular expression, greedy or not. */
function patternOf(pattern: string, greedy: boolean): string {
  let out = ''
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern[at] ?? ''
    if (character === '*') out += greedy ? '[^]*' : '[^]*?'
    else if (character === '?') out += '[^]'
    else if (character === '\\') {
      at += 1
      out += quoted(pattern[at] ?? '\\')
    } else out += quoted(character)
  }
  return out
}

function quoted(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')
}

function trimStart(value: string, pattern: string, longest: boolean): string {
  return value.replace(new RegExp(`^${patternOf(pattern, longest)}`), '')
}

function trimEnd(value: string, pattern: string, longest: boolean): string {
  const ends = Array.from({ length: value.length + 1 }, (_, at) => at)
  const matcher = new RegExp(`^${patternOf(pattern, true)}$`)
  // The longest end begins first.
  const at = (longest ? ends : ends.reverse()).find(start => matcher.test(value.slice(start)))
  return at === undefined ? value : value.slice(0, at)
}

function replace(value: string, pattern: string, replacement: string, all: boolean): string {
  if (pattern === '') return value
  return value.replace(new RegExp(patternOf(pattern, true), all ? 'g' : ''), () => replacement)
}
