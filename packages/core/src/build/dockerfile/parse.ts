import { nearestWord } from '../../nearest.js'
import { fault, type Source } from './fault.js'
import { INSTRUCTIONS, type Reading } from './instructions.js'
import { splitLines } from './lines.js'
import type { Dockerfile, Instruction } from './types.js'
import { takeFlags } from './words.js'

/**
 * Reads a Dockerfile. Nothing is expanded yet. Throws ERR_MAYFLY_DOCKERFILE_INVALID, which shows the line.
 * [Dockerfile reference, frontend 1.x]
 */
export function parseDockerfile(source: Source): Dockerfile {
  const { directives, escape, lines } = splitLines(source)
  const instructions = lines.map(line => {
    const word = /^\s*(\S+)\s*/.exec(line.text)
    const offset = line.text.length - line.text.trimStart().length
    const name = word?.[1]?.toUpperCase() ?? ''
    const refuse: Reading['refuse'] = (at, message, hint) => fault(source, line.at(at), message, hint)
    const read = Object.hasOwn(INSTRUCTIONS, name) ? INSTRUCTIONS[name as keyof typeof INSTRUCTIONS] : undefined
    if (read === undefined) {
      const near = nearestWord(name, Object.keys(INSTRUCTIONS))
      throw refuse(offset, `unknown instruction ${word?.[1] ?? ''}`, near === undefined ? undefined : `Did you mean ${near}?`)
    }
    const { flags, rest } = takeFlags(line.text, word?.[0].length ?? 0, escape)
    return read({ name, text: line.text, rest, flags, heredocs: line.heredocs, escape, place: line.at(offset), refuse })
  })
  if (instructions.length === 0) throw fault(source, { line: 1, column: 1 }, 'the file has no instructions')
  checkOrder(source, instructions)
  return { directives, instructions }
}

/** What an ONBUILD trigger says, parsed as an instruction of its own. */
export function parseTrigger(trigger: string): Instruction {
  const [instruction] = parseDockerfile({ file: 'ONBUILD', text: `FROM scratch\n${trigger}` }).instructions.slice(1)
  if (instruction === undefined) throw fault({ file: 'ONBUILD', text: trigger }, { line: 1, column: 1 }, 'the trigger is empty')
  return instruction
}

function checkOrder(source: Source, instructions: readonly Instruction[]): void {
  const names = new Set<string>()
  let begun = false
  for (const instruction of instructions) {
    if (instruction.kind === 'FROM') {
      begun = true
      const { name, place } = instruction
      if (name !== undefined && names.has(name.toLowerCase())) throw fault(source, place, `two stages are called "${name}"`)
      if (name !== undefined) names.add(name.toLowerCase())
    } else if (!begun && instruction.kind !== 'ARG') {
      throw fault(source, instruction.place, `${instruction.kind} stands before the first FROM`, 'Only ARG may.')
    }
  }
  const last = instructions.at(-1)
  if (!begun && last !== undefined) throw fault(source, last.place, 'there is no FROM')
}
