import { globPattern } from '../glob.js'

/** Which paths of a build context `.dockerignore` leaves out. */
export interface Ignore {
  /** Whether a path, relative with slashes, is left out. */
  excludes(path: string): boolean
  /** Whether a directory that is left out may hold something that is not, and must be looked into. */
  mayInclude(directory: string): boolean
}

interface Rule {
  readonly include: boolean
  readonly pattern: RegExp
  /** The part before the first wildcard: what can match lies beneath it, or above. */
  readonly fixed: string
}

/**
 * Reads `.dockerignore`: one pattern a line, the last that matches a path or a directory above it decides, `!` takes
 * back in. [Docker build reference, ".dockerignore files"; patterns as Go's filepath.Match with `**`]
 */
export function readIgnore(text: string): Ignore {
  const rules = text.replace(/^\uFEFF/, '').split('\n').flatMap(line => ruleOf(line))
  return {
    excludes: path => {
      const parts = path.split('/')
      const above = parts.map((_, at) => parts.slice(0, at + 1).join('/'))
      return rules.reduce((excluded, { include, pattern }) => (excluded === include && above.some(one => pattern.test(one)) ? !include : excluded), false)
    },
    mayInclude: directory => rules.some(({ include, fixed }) => include && (`${fixed}/`.startsWith(`${directory}/`) || `${directory}/`.startsWith(fixed))),
  }
}

function ruleOf(line: string): readonly Rule[] {
  if (line.startsWith('#')) return []
  const trimmed = line.trim()
  const include = trimmed.startsWith('!')
  const cleaned = clean((include ? trimmed.slice(1) : trimmed).trim())
  if (cleaned === '' || cleaned === '.') return []
  return [{ include, pattern: globPattern(cleaned), fixed: cleaned.replace(/[*?[\\][^]*$/, '') }]
}

/** As a path relative to the context: no slash at either end, no `.`, and `..` taken as far as it goes. */
function clean(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') parts.pop()
    else parts.push(part)
  }
  return parts.join('/')
}
