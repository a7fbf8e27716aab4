import type { Build } from './builder.js'
import type { Command, RunInstruction } from './dockerfile/types.js'
import type { Step } from './instruction.js'
import { withLayer } from './layer.js'
import { openMounts } from './mounts.js'
import type { StageRunner } from './stage.js'
import { envOf, nextKey, type BuildState, type RawConfig } from './state.js'
import { isPredefined } from './variables.js'

/** RUN: a command in a container over the state; what it changed is a layer. */
export async function applyRun(build: Build, stages: StageRunner, step: Step, instruction: RunInstruction): Promise<BuildState> {
  const { state } = step
  const network = instruction.network ?? build.options.network ?? 'default'
  const { entrypoint, command } = wordsOf(instruction.command, state.config)
  const variables = argEnvironment(build, state)
  const text = `RUN ${textOf(instruction.command)}`
  const counted = Object.entries(variables).filter(([name]) => !isPredefined(name)).map(([name, value]) => `${name}=${value}`)
  const mounts = await openMounts(build, stages, step, instruction)
  try {
    const { extraHosts = {} } = build.options
    const surroundings = [network, instruction.security ?? 'sandbox', JSON.stringify(extraHosts), JSON.stringify(state.platform)]
    const key = nextKey(state.key, 'RUN', JSON.stringify([...entrypoint, ...command]), JSON.stringify(counted), ...surroundings, mounts.key)
    return await withLayer(build, step, text, key, async buildStep => {
      // What the cache has needs no container, and none of the code for one.
      const { execute } = await import('./execute.js')
      return await execute(build, step, { instruction, step: buildStep, entrypoint, command, variables, network, mounts })
    })
  } finally {
    await mounts.close()
  }
}

/** The container's command: a heredoc alone is the script itself. */
function wordsOf(command: Command, config: RawConfig): { entrypoint: readonly string[]; command: readonly string[] } {
  if (command.form === 'exec') return { entrypoint: [], command: command.words }
  const shell = config.Shell ?? ['/bin/sh', '-c']
  const [only, ...others] = command.heredocs
  if (only !== undefined && others.length === 0 && /^<<-?["']?[\w.]+["']?$/.test(command.text)) {
    const interpreter = /^#!\s*(\S+)(?:[ \t]+([^\n]+?))?[ \t]*\n/.exec(only.content)
    if (interpreter === null) return { entrypoint: [], command: [...shell, only.content] }
    // Handed to its interpreter through the shell: `sh -c 'exec python3 /dev/fd/3 3<<…'` would need the file, and none is left behind so.
    const [, program = '', argument] = interpreter
    return { entrypoint: [], command: [...shell, `exec ${[program, argument].filter(part => part !== undefined).join(' ')} /dev/fd/3 3<<'${only.name}'\n${only.content}${only.name}\n`] }
  }
  const bodies = command.heredocs.map(({ content, name }) => `\n${content}${name}`).join('')
  return { entrypoint: [], command: [...shell, `${command.text}${bodies}`] }
}

function textOf(command: Command): string {
  if (command.form === 'exec') return JSON.stringify(command.words)
  return [command.text, ...command.heredocs.map(({ content, name }) => `${content}${name}`)].join('\n')
}

/** ARGs are there while the command runs; the image's own ENV comes before them. */
function argEnvironment(build: Build, { args, config }: BuildState): Readonly<Record<string, string>> {
  const given = Object.entries(build.options.buildArgs ?? {}).filter(([name]) => isPredefined(name))
  const own = Object.entries(args).filter(([name]) => envOf(config, name) === undefined)
  return Object.fromEntries([...given, ...own])
}
