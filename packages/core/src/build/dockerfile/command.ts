import type { Reading } from './instructions.js'
import type { Command } from './types.js'
import { jsonWords } from './words.js'

/** The exec form when it is a JSON array, else text for the shell with its heredocs. */
export function commandOf({ name, text, rest, heredocs, refuse }: Reading): Command {
  const words = text.slice(rest).trim()
  const array = jsonWords(words)
  if (array !== undefined) return { form: 'exec', words: array }
  if (words === '' && name !== 'CMD' && name !== 'ENTRYPOINT') throw refuse(0, `${name} needs a command`)
  return { form: 'shell', text: words, heredocs }
}
