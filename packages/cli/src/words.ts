import type { Command } from 'commander'

const YES = /^(?:true|t|1)$/i
const NO = /^(?:false|f|0)$/i

/**
 * Docker's flags may have their value written out, `--rm=false`, `--pause=false`: the same words without it. What belongs to
 * a container's own command is left as it is.
 */
export function withoutValues(program: Command, words: readonly string[]): string[] {
  let command = program
  const out: string[] = []
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? ''
    if (word === '--') return [...out, ...words.slice(at)]
    const [, name = '', value = ''] = /^(--[a-z][a-z-]*)=(.*)$/s.exec(word) ?? []
    if (name !== '' && isFlag(command, name) && (YES.test(value) || NO.test(value))) {
      out.push(...written(command, name, YES.test(value)))
      continue
    }
    out.push(word)
    if (word.startsWith('-')) {
      // The value of an option is no command.
      if (takesValue(command, word)) out.push(...words.slice(at + 1, ++at + 1))
      continue
    }
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word))
    if (next === undefined) return [...out, ...rest(command, words.slice(at + 1))]
    command = next
  }
  return out
}

/** Options may follow arguments, except where a container's command does. */
function rest(command: Command, words: readonly string[]): string[] {
  if (['run', 'create', 'exec', 'top', '__complete'].includes(command.name())) return [...words]
  return words.flatMap((word) => {
    const [, name = '', value = ''] = /^(--[a-z][a-z-]*)=(.*)$/s.exec(word) ?? []
    return name !== '' && isFlag(command, name) && (YES.test(value) || NO.test(value)) ? written(command, name, YES.test(value)) : [word]
  })
}

function isFlag(command: Command, name: string): boolean {
  return command.options.some((option) => (option.long === name || option.long === `--no-${name.slice(2)}`) && !option.required && !option.optional)
}

function written(command: Command, name: string, yes: boolean): string[] {
  const has = (long: string): boolean => command.options.some((option) => option.long === long)
  if (yes) return has(name) ? [name] : []
  return has(`--no-${name.slice(2)}`) ? [`--no-${name.slice(2)}`] : []
}

function takesValue(command: Command, word: string): boolean {
  if (word.startsWith('--')) return !word.includes('=') && command.options.some((option) => option.long === word && option.required)
  const letters = [...word.slice(1)]
  // `-it` is two flags; of `-eA=b` the rest is the value.
  const at = letters.findIndex((letter) => command.options.some((option) => option.short === `-${letter}` && option.required))
  return at >= 0 && at === letters.length - 1
}
