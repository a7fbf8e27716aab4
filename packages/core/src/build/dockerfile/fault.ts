import { isMayflyError, MayflyError } from '../../errors.js'
import type { Place } from './types.js'

/** A Dockerfile's text with its name, to point into. */
export interface Source {
  readonly file: string
  readonly text: string
}

/** An error that shows the line it is about, with a mark below the place. */
export function fault(source: Source, place: Place, message: string, hint?: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_DOCKERFILE_INVALID', pointedAt(source, place, message), {
    hint,
    details: { file: source.file, line: place.line, column: place.column },
  })
}

/** What went wrong elsewhere because of an instruction: the same, with the line that asked for it. */
export function because(source: Source, place: Place, error: unknown): unknown {
  if (!isMayflyError(error) || error.code === 'ERR_MAYFLY_ABORTED' || error.details['line'] !== undefined) return error
  return new MayflyError(error.code, pointedAt(source, place, error.message), {
    hint: error.hint, cause: error.cause, details: { ...error.details, file: source.file, line: place.line, column: place.column },
  })
}

function pointedAt(source: Source, place: Place, message: string): string {
  const line = source.text.split('\n')[place.line - 1]?.replace(/\r$/, '') ?? ''
  const number = String(place.line)
  // Tabs are kept, so that the mark stands below what it marks.
  const indent = line.slice(0, place.column - 1).replace(/[^\t]/g, ' ')
  const shown = `  ${number} | ${line}\n  ${' '.repeat(number.length)} | ${indent}^`
  return `${source.file}:${number}:${String(place.column)}: ${message}\n${shown}`
}
