import { MayflyError, type Scope, type Use } from '@mayfly/core/plugin'

/** The `@container NAME [as=x] [scope=…]` lines of a file's first docblock. Throws ERR_MAYFLY_OPTION_INVALID. */
export function usesOf(pragmas: Readonly<Record<string, string | string[]>>): readonly Use[] {
  const lines = pragmas['container']
  if (lines === undefined) return []
  return (Array.isArray(lines) ? lines : [lines]).map(useOf)
}

function useOf(line: string): Use {
  const [name, ...words] = line.trim().split(/\s+/)
  if (name === undefined || name === '') throw invalid(line, 'a name is missing')
  const settings: { as?: string; scope?: Scope } = {}
  for (const word of words) {
    const [key, value] = word.split('=')
    if (key === 'as' && value) settings.as = value
    else if (key === 'scope' && isScope(value)) settings.scope = value
    else throw invalid(line, `"${word}" is neither as=NAME nor scope=run|worker|file|test`)
  }
  return { name, ...settings }
}

function isScope(value: string | undefined): value is Scope {
  return value === 'run' || value === 'worker' || value === 'file' || value === 'test'
}

function invalid(line: string, why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `The pragma "@container ${line}": ${why}`)
}
