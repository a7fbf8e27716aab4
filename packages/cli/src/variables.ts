import { readFileSync } from 'node:fs'

/** `NAME=value`; a bare `NAME` is taken from our own environment, or left out. What `files` have, of the same form a line, comes first. */
export function variables(texts: readonly string[] = [], files: readonly string[] = []): Record<string, string> {
  return Object.fromEntries([...files.flatMap(linesOf), ...texts].flatMap((text): [string, string][] => {
    const at = text.indexOf('=')
    if (at === 0 || text === '') throw invalid(`Invalid environment variable ${JSON.stringify(text)}`)
    if (at > 0) return [[text.slice(0, at), text.slice(at + 1)]]
    const value = process.env[text]
    return value === undefined ? [] : [[text, value]]
  }))
}

/** Blank lines and those that begin with `#` say nothing. Quotes are part of the value, as with Docker. */
function linesOf(file: string): string[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw invalid(`The file of variables ${file} cannot be read: ${(cause as Error).message}`)
  }
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/).map((line) => line.trimStart()).filter((line) => line !== '' && !line.startsWith('#'))
  const wrong = lines.find((line) => /\s/.test(line.split('=', 1)[0] ?? ''))
  if (wrong !== undefined) throw invalid(`Invalid line in ${file}: the name of a variable has no spaces: ${JSON.stringify(wrong)}`)
  return lines
}

function invalid(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_MAYFLY_OPTION_INVALID', hint: 'Give NAME=value, or NAME for the value it has here.' })
}
