import { fault, type Source } from './fault.js'
import type { Heredoc, Place } from './types.js'

/** An instruction as one line: continued lines joined, comments between them left out. */
export interface LogicalLine {
  readonly text: string
  readonly place: Place
  readonly heredocs: readonly Heredoc[]
  /** Where a character of `text` stands in the file. */
  at(offset: number): Place
}

export interface Lines {
  readonly directives: Readonly<Record<string, string>>
  readonly escape: string
  readonly lines: readonly LogicalLine[]
}

const DIRECTIVE = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/
const KNOWN_DIRECTIVES = new Set(['syntax', 'escape', 'check'])
/** Instructions whose words may be heredocs, alone or behind ONBUILD. */
const TAKES_HEREDOC = /^\s*(?:ONBUILD\s+)?(?:RUN|COPY|ADD)\s/i
const HEREDOC_WORD = /(?:^|[\s\d])<<(-?)(["']?)([A-Za-z_][\w.]*)\2(?=[\s;|&)<>]|$)/g

/** Splits a Dockerfile into instructions. Throws ERR_MAYFLY_DOCKERFILE_INVALID. [Dockerfile reference, "Format"] */
export function splitLines(source: Source): Lines {
  const physical = source.text.replace(/^\uFEFF/, '').split('\n').map(line => line.replace(/\r$/, ''))
  const directives = directivesOf(source, physical)
  const escape = directives['escape'] ?? '\\'
  const lines: LogicalLine[] = []
  let at = 0
  while (at < physical.length) {
    const first = physical[at] ?? ''
    if (first.trim() === '' || first.trimStart().startsWith('#')) {
      at += 1
      continue
    }
    const joined = join(physical, at, escape)
    const { heredocs, next } = heredocsOf(source, physical, joined.text, joined.next, joined.at)
    lines.push({ text: joined.text, place: joined.at(0), heredocs, at: joined.at })
    at = next
  }
  return { directives, escape, lines }
}

function directivesOf(source: Source, lines: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [index, line] of lines.entries()) {
    // A shebang may stand before them.
    if (index === 0 && line.startsWith('#!')) continue
    const match = DIRECTIVE.exec(line)
    const name = match?.[1]?.toLowerCase() ?? ''
    if (match === null || !KNOWN_DIRECTIVES.has(name)) break
    const place = { line: index + 1, column: 1 }
    if (Object.hasOwn(found, name)) throw fault(source, place, `the directive "${name}" stands here twice`)
    found[name] = match[2] ?? ''
    if (name === 'escape' && !['\\', '`'].includes(found[name])) throw fault(source, place, `the escape character is \\ or \`, not ${found[name]}`)
  }
  return found
}

interface Joined {
  readonly text: string
  /** The physical line after it. */
  readonly next: number
  at(offset: number): Place
}

function join(lines: readonly string[], from: number, escape: string): Joined {
  const pieces: { readonly start: number; readonly line: number; readonly column: number }[] = []
  const continued = escape === '`' ? /`[ \t]*$/ : /\\[ \t]*$/
  const first = (lines[from] ?? '')
  let column = first.length - first.trimStart().length + 1
  let text = ''
  let index = from
  for (; index < lines.length; index += 1) {
    const line = lines[index] ?? ''
    const inside = index > from
    // Comments and empty lines between continued ones belong to nobody.
    if (inside && (line.trim() === '' || line.trimStart().startsWith('#'))) continue
    const body = inside ? line : line.trimStart()
    pieces.push({ start: text.length, line: index + 1, column })
    column = 1
    const more = continued.test(body)
    text += more ? body.replace(continued, '') : body
    if (!more) break
  }
  return {
    text: text.trimEnd(),
    next: index + 1,
    at: offset => {
      const piece = pieces.findLast(({ start }) => start <= offset) ?? { start: 0, line: from + 1, column: 1 }
      return { line: piece.line, column: piece.column + offset - piece.start }
    },
  }
}

function heredocsOf(
  source: Source, lines: readonly string[], text: string, from: number, at: (offset: number) => Place,
): { heredocs: readonly Heredoc[]; next: number } {
  // In the exec form `<<` is a word like any other.
  if (!TAKES_HEREDOC.test(text) || /^\s*(?:ONBUILD\s+)?\w+\s+(?:--\S+\s+)*\[/i.test(text)) return { heredocs: [], next: from }
  const heredocs: Heredoc[] = []
  let next = from
  for (const match of unquoted(text).matchAll(HEREDOC_WORD)) {
    const [, dash, quote, name = ''] = match
    const stripTabs = dash === '-'
    const body: string[] = []
    for (;;) {
      const line = lines[next]
      if (line === undefined) throw fault(source, at(match.index), `the heredoc <<${name} has no end`, `Close it by a line that says ${name} and nothing else.`)
      next += 1
      const stripped = stripTabs ? line.replace(/^\t+/, '') : line
      if (stripped === name) break
      body.push(stripped)
    }
    heredocs.push({ name, content: body.map(line => `${line}\n`).join(''), expand: quote === '', stripTabs })
  }
  return { heredocs, next }
}

/** The text with quoted parts blanked, except quotes that are a heredoc's own. */
function unquoted(text: string): string {
  return text.replace(/(<<-?)(["'])([A-Za-z_][\w.]*)\2|(["'])(?:\\.|(?!\4).)*\4/g, (all, mark: string | undefined) => (mark === undefined ? ' '.repeat(all.length).replace(/^./, 'x') : all))
}
