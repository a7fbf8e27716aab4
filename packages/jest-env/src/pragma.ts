import { nearestWord, shownError, type MayflyError, type Scope, type Use } from '@mayfly/core/worker'

const SCOPES: readonly string[] = ['run', 'worker', 'file', 'test']
/** Others' pragmas that look like ours. */
const FOREIGN: readonly string[] = ['content', 'contains', 'contain', 'constant', 'contract']

/**
 * The `@container NAME [as=x] [scope=…]` lines of a file's first docblock. Throws ERR_MAYFLY_OPTION_INVALID, also for a
 * pragma that is surely meant to be one.
 */
export function usesOf(pragmas: Readonly<Record<string, string | string[]>>): readonly Use[] {
  for (const [name, value] of Object.entries(pragmas)) {
    if (name !== 'container' && !FOREIGN.includes(name) && nearestWord(name, ['container']) !== undefined) {
      throw shownError('ERR_MAYFLY_OPTION_INVALID', `There is no pragma "@${name}"`, { hint: `Did you mean "@container ${String(value)}"?` })
    }
  }
  const lines = pragmas['container']
  if (lines === undefined) return []
  const uses = (Array.isArray(lines) ? lines : [lines]).map(useOf)
  const names = uses.map(({ as, name }) => as ?? name)
  const twice = names.find((name, nth) => names.indexOf(name) !== nth)
  if (twice === undefined) return uses
  throw shownError('ERR_MAYFLY_OPTION_INVALID', `Two pragmas "@container" are called "${twice}"`, { hint: `Name one: @container ${twice} as=other` })
}

function useOf(line: string): Use {
  const [name, ...words] = line.trim().split(/\s+/)
  if (name === undefined || name === '') throw invalid(line, 'a name is missing', 'Such as: @container httpd')
  const settings: { as?: string; scope?: Scope } = {}
  for (const word of words) {
    const [key = '', value] = word.split('=')
    if (key === 'as' && value) settings.as = value
    else if (key === 'scope' && isScope(value)) settings.scope = value
    else if (key === 'scope') throw invalid(line, `"${word}" is no scope`, suggestion('scope=', nearestWord(value ?? '', SCOPES)) ?? `Scopes are: ${SCOPES.join(', ')}.`)
    else throw invalid(line, `"${word}" is neither as=NAME nor scope=run|worker|file|test`, suggestion('', nearestWord(key, ['as', 'scope']), `=${value ?? (word.startsWith('s') ? 'test' : 'NAME')}`))
  }
  return { name, ...settings }
}

function isScope(value: string | undefined): value is Scope {
  return value !== undefined && SCOPES.includes(value)
}

function suggestion(before: string, word: string | undefined, after = ''): string | undefined {
  return word === undefined ? undefined : `Did you mean "${before}${word}${after}"?`
}

function invalid(line: string, why: string, hint: string | undefined): MayflyError {
  return shownError('ERR_MAYFLY_OPTION_INVALID', `The pragma "@container ${line}": ${why}`, { hint })
}
