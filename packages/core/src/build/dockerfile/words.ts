/** A word of an instruction, as written, and where it begins in the instruction's text. */
export interface Word {
  readonly text: string
  readonly offset: number
}

/** Splits at spaces outside quotes. Quotes and escapes stay: expansion removes them. */
export function splitWords(text: string, from: number, escape: string): readonly Word[] {
  const words: Word[] = []
  let start = -1
  let quote = ''
  for (let at = from; at <= text.length; at += 1) {
    const character = text[at]
    const space = character === undefined || character === ' ' || character === '\t'
    if (start < 0 && !space) start = at
    if (start < 0) continue
    if (character === escape && quote !== "'") at += 1
    else if (quote === '' && (character === '"' || character === "'")) quote = character
    else if (character === quote) quote = ''
    else if (space && (quote === '' || character === undefined)) {
      words.push({ text: text.slice(start, at), offset: start })
      start = -1
    }
  }
  if (start >= 0) words.push({ text: text.slice(start), offset: start })
  return words
}

/** Flags before an instruction's words: `--name=value` or `--name`. */
export interface Flag {
  readonly name: string
  readonly value: string | undefined
  readonly offset: number
}

/** The flags, and where the rest begins. A bare `--` ends them. */
export function takeFlags(text: string, from: number, escape: string): { readonly flags: readonly Flag[]; readonly rest: number } {
  const flags: Flag[] = []
  let rest = from
  for (const word of splitWords(text, from, escape)) {
    if (!word.text.startsWith('--')) break
    rest = word.offset + word.text.length
    if (word.text === '--') break
    const equals = word.text.indexOf('=')
    flags.push({
      name: word.text.slice(2, equals < 0 ? undefined : equals),
      value: equals < 0 ? undefined : word.text.slice(equals + 1),
      offset: word.offset,
    })
  }
  while (text[rest] === ' ' || text[rest] === '\t') rest += 1
  return { flags, rest }
}

/** A JSON array of strings, or undefined: what is none is text for the shell. */
export function jsonWords(text: string): readonly string[] | undefined {
  if (!text.startsWith('[')) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) && value.every(word => typeof word === 'string') ? (value as string[]) : undefined
  } catch {
    return undefined
  }
}
