import { parsePlatform } from '../platform.js'
import { imageState } from './base.js'
import type { Build } from './builder.js'
import { apply } from './instruction.js'
import { because, fault } from './dockerfile/fault.js'
import { parseTrigger } from './dockerfile/parse.js'
import type { Instruction, Place } from './dockerfile/types.js'
import { findStage, sourcesOf, type Stage } from './graph.js'
import { keepLayers } from './keep.js'
import { scratch, type BuildState } from './state.js'
import { expandAt, isPredefined, platformArgs } from './variables.js'

/** Stages being built, each once. */
export interface StageRunner {
  of(stage: Stage): Promise<BuildState>
  /** What `COPY --from`, a mount or FROM names: an earlier stage, a further context's image, or any image. */
  named(name: string, before: number, place: Place): Promise<BuildState>
  /** Waits for what is still under way, and keeps the layers that are whole. */
  settle(): Promise<void>
}

export function createStages(build: Build, global: readonly Instruction[]): StageRunner {
  const stages = new Map<number, Promise<BuildState>>()
  const images = new Map<string, Promise<BuildState>>()
  const states: BuildState[] = []
  const globalArgs = globalValues(build, global)

  const image = async (name: string, platform: string | undefined, place: Place): Promise<BuildState> => {
    const key = `${name} ${platform ?? ''}`
    const state = images.get(key) ?? imageState(build, name, platform)
    images.set(key, state)
    try {
      return await state
    } catch (error) {
      throw because(build.source, place, error)
    }
  }
  const named = async (name: string, before: number, place: Place): Promise<BuildState> => {
    const stage = findStage(build.stages, name, before)
    return stage === undefined ? await image(name, undefined, place) : await runner.of(stage)
  }
  const run = async (stage: Stage): Promise<BuildState> => {
    const { from, index } = stage
    const lookup = (name: string): string | undefined => globalArgs[name]
    const reference = expandAt(build.source, from.place, from.image, lookup, build.escape)
    if (reference === '') throw fault(build.source, from.place, `FROM ${from.image} names nothing`, 'Give the ARG a default before FROM.')
    const platform = from.platform === undefined ? undefined : expandAt(build.source, from.place, from.platform, lookup, build.escape)
    const earlier = findStage(build.stages, reference, index)
    // Other stages begin while this one's base is being fetched.
    for (const name of sourcesOf(stage)) {
      const source = findStage(build.stages, name, index)
      if (source !== undefined) runner.of(source).catch(() => undefined)
    }
    let state = earlier !== undefined ? await runner.of(earlier)
      : reference === 'scratch' ? scratch(platform === undefined ? build.platform : parsePlatform(platform)) : await image(reference, platform, from.place)
    // Another stage's ARGs are its own.
    state = { ...state, args: {} }
    // What is wrong in a trigger is the base image's; of this file, FROM is its place.
    const triggers = (state.config.OnBuild ?? []).map((trigger): Instruction => ({ ...parseTrigger(trigger), place: from.place }))
    if (triggers.length > 0) state = { ...state, config: { ...state.config, OnBuild: [] } }
    const instructions = [...triggers, ...stage.instructions]
    for (const [nth, instruction] of instructions.entries()) {
      build.signal.throwIfAborted()
      const label = `${from.name === undefined ? `stage ${String(index)}` : from.name} ${String(nth + 1)}/${String(instructions.length)}`
      state = await apply(build, runner, { state, instruction, label, index, globalArgs })
      states.push(state)
    }
    return state
  }
  const runner: StageRunner = {
    of: stage => {
      const there = stages.get(stage.index)
      if (there !== undefined) return there
      // A further context of its name stands for the whole stage.
      const { name } = stage.from
      const state = name !== undefined && build.options.contexts?.[name] !== undefined ? image(name, undefined, stage.from.place) : run(stage)
      stages.set(stage.index, state)
      return state
    },
    named,
    settle: async () => {
      await Promise.allSettled([...stages.values(), ...images.values()])
      // The longest states hold all layers of the shorter ones.
      for (const state of states.sort((a, b) => b.layers.length - a.layers.length)) await keepLayers(build, state).catch(() => undefined)
    },
  }
  return runner
}

/** ARGs before the first FROM, with what the caller gives for them. */
function globalValues(build: Build, global: readonly Instruction[]): Readonly<Record<string, string>> {
  const values: Record<string, string> = { ...platformArgs(build.platform), TARGETSTAGE: build.options.target ?? 'default' }
  for (const instruction of global) {
    if (instruction.kind !== 'ARG') continue
    for (const { name, value } of instruction.args) {
      const given = build.options.buildArgs?.[name]
      const own = value === undefined ? undefined : expandAt(build.source, instruction.place, value, one => values[one], build.escape)
      const chosen = given ?? own
      if (chosen !== undefined) values[name] = chosen
    }
  }
  return values
}

/** Values nobody asked for: most often a name misspelt. */
export function unusedArgs({ stages, options }: Pick<Build, 'stages' | 'options'>, global: readonly Instruction[]): readonly string[] {
  const asked = [...global, ...stages.flatMap(({ instructions }) => instructions)].flatMap(one => (one.kind === 'ARG' ? one.args.map(({ name }) => name) : []))
  return Object.keys(options.buildArgs ?? {}).filter(name => !asked.includes(name) && !isPredefined(name) && !/^(?:SOURCE_DATE_EPOCH|BUILDKIT_.*)$/.test(name))
}
