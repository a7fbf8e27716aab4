import { MayflyError } from '../../errors.js'
import type { Place } from './types.js'

/** A Dockerfile's text with its name, to point into. */
export interface Source {
  readonly file: string
  readonly text: string
}

/** An error that shows the line it is about, with a mark below the place. */
export function fault(source: Source, place: Place, message: string, hint?: string): MayflyError {
  const line = source.text.split('\n')[place.line - 1]?.replace(/\r$/, '') ?? ''
  const number = String(place.line)
  // Tabs are kept, so that the mark stands below what it marks.
  const indent = line.slice(0, place.column - 1).replace(/[^\t]/g, ' ')
  const shown = `  ${number} | ${line}\n  ${' '.repeat(number.length)} | ${indent}^`
  return new MayflyError('ERR_MAYFLY_DOCKERFILE_INVALID', `${source.file}:${number}:${String(place.column)}: ${message}\n${shown}`, {
    hint,
    details: { file: source.file, line: place.line, column: place.column },
  })
}
