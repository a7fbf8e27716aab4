import { isMayflyError, MayflyError } from '../errors.js'
import type { Service } from './types.js'

/** Of a service whose preset does not know its state. */
export function unresettable(name: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_UNSUPPORTED', `"${name}" cannot be reset: nobody knows how to bring it back to its prepared state`, {
    hint: 'Presets of databases know it. Others are had anew: scope: \'file\' or \'test\'.',
  })
}

/** Whoever talks to one that is over is told so by the name it is called by. */
export function inItsName(name: string, error: unknown): unknown {
  if (!isMayflyError(error) || error.code !== 'ERR_MAYFLY_NOT_RUNNING') return error
  return new MayflyError('ERR_MAYFLY_NOT_RUNNING', `"${name}" has ended`, { cause: error, details: error.details })
}

/** Variables of the environment are one for all tests of a file: they cannot point at the instance of each. */
export function refuseExports(name: string, { options }: Service): void {
  const variables = Object.keys(options.exports ?? {})
  if (variables.length === 0) return
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `"${name}" exports ${variables.join(', ')}, which cannot name an instance per concurrent test`, {
    hint: 'Run these tests one after the other, or use a service without exports there.',
    details: { service: name, variables },
  })
}
