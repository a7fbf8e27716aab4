import { fault, type Source } from './dockerfile/fault.js'
import type { FromInstruction, Instruction } from './dockerfile/types.js'

/** A stage: its FROM and what follows. */
export interface Stage {
  readonly index: number
  readonly from: FromInstruction
  readonly instructions: readonly Instruction[]
}

export interface Stages {
  /** ARGs before the first FROM. */
  readonly global: readonly Instruction[]
  readonly stages: readonly Stage[]
}

export function splitStages(instructions: readonly Instruction[]): Stages {
  const first = instructions.findIndex(({ kind }) => kind === 'FROM')
  const stages: { index: number; from: FromInstruction; instructions: Instruction[] }[] = []
  for (const instruction of instructions.slice(first)) {
    if (instruction.kind === 'FROM') stages.push({ index: stages.length, from: instruction, instructions: [] })
    else stages.at(-1)?.instructions.push(instruction)
  }
  return { global: instructions.slice(0, first), stages }
}

/** A stage by its name, or by its number; only those before `before` count. */
export function findStage(stages: readonly Stage[], name: string, before = stages.length): Stage | undefined {
  const earlier = stages.slice(0, before)
  const named = earlier.findLast(({ from }) => from.name?.toLowerCase() === name.toLowerCase())
  return named ?? (/^\d+$/.test(name) ? earlier[Number(name)] : undefined)
}

/** The stage a build ends with. */
export function targetStage(source: Source, stages: readonly Stage[], target: string | undefined): Stage {
  const stage = target === undefined ? stages.at(-1) : findStage(stages, target)
  if (stage !== undefined) return stage
  const names = stages.flatMap(({ from }) => from.name ?? [])
  throw fault(source, stages[0]?.from.place ?? { line: 1, column: 1 }, `no stage is called "${target ?? ''}"`, names.length === 0 ? 'No stage has a name.' : `There are ${names.join(', ')}.`)
}

/** Names of other stages and images that a stage's instructions take files from. */
export function sourcesOf({ instructions }: Stage): readonly string[] {
  return instructions.flatMap(instruction => {
    if (instruction.kind === 'COPY') return instruction.from ?? []
    if (instruction.kind === 'RUN') return instruction.mounts.flatMap(({ options }) => options['from'] ?? [])
    return []
  })
}
