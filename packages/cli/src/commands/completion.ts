import type { Command } from 'commander'

import { invalid } from '../action.js'

const SCRIPTS: Readonly<Record<string, string>> = {
  // Bash has a word end at : and =, and puts what it is given in place of what follows.
  bash: `_mayfly() {
  local typed="\${COMP_LINE:0:COMP_POINT}" words before='' line
  read -ra words <<< "$typed"
  [[ $typed == *[[:space:]] ]] && words+=('')
  local last="\${words[\${#words[@]}-1]}"
  [[ $last == *[:=]* ]] && before="\${last%"\${last##*[:=]}"}"
  COMPREPLY=()
  while IFS= read -r line; do COMPREPLY+=("\${line#"$before"}"); done < <(mayfly __complete -- "\${words[@]:1}" 2>/dev/null)
  if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == :files ]]; then
    COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
  fi
}
complete -o bashdefault -F _mayfly mayfly
`,
  zsh: `#compdef mayfly
_mayfly() {
  local -a found
  found=(\${(f)"$(mayfly __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if [[ "$found" == ":files" ]]; then _files; else compadd -a found; fi
}
if [[ "$funcstack[1]" == "_mayfly" ]]; then _mayfly "$@"; else compdef _mayfly mayfly; fi
`,
  fish: `function __mayfly_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l found (mayfly __complete -- $words[2..-1] 2>/dev/null)
  if test "$found" = ":files"
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $found
  end
end
complete -c mayfly -f -a '(__mayfly_complete)'
`,
}

/** Prints the part that a shell reads: `source <(mayfly completion bash)`. */
export function completion(shell: string): Promise<void> {
  const script = SCRIPTS[shell]
  if (script === undefined) throw invalid(`There is no completion for ${JSON.stringify(shell)}`, 'There is one for bash, zsh and fish.')
  process.stdout.write(script)
  return Promise.resolve()
}

type Kind = 'containers' | 'images' | 'networks' | 'volumes' | 'files' | 'none'

const CONTAINERS = ['start', 'stop', 'restart', 'kill', 'pause', 'unpause', 'wait', 'rm', 'rename', 'logs', 'exec', 'attach', 'commit', 'diff', 'port', 'stats', 'top', 'export', 'cp', 'update', 'inspect']
const IMAGES = ['run', 'create', 'rmi', 'tag', 'push', 'pull', 'history', 'save']

/** Prints what may stand where the last of the words stands, one a line; `:files` for a path. */
export async function complete(program: Command, given: readonly string[]): Promise<void> {
  const words = given[0] === '--' ? given.slice(1) : given
  const typed = words.at(-1) ?? ''
  let command = program
  let operands = 0
  let value = false
  for (const word of words.slice(0, -1)) {
    if (value) { value = false; continue }
    if (word.startsWith('-')) { value = wants(command, word); continue }
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word))
    if (next === undefined) operands += 1
    else command = next
  }
  const found = value ? [':files'] : typed.startsWith('-') ? options(command) : await operandsOf(command, operands)
  const all = found[0] === ':files' ? found : found.filter((one) => one.startsWith(typed))
  process.stdout.write(all.map((one) => `${one}\n`).join(''))
}

function wants(command: Command, word: string): boolean {
  return !word.includes('=') && command.options.some((option) => option.required && (option.long === word || option.short === `-${word.at(-1) ?? ''}` && !word.startsWith('--')))
}

function options(command: Command): string[] {
  return command.options.filter(({ hidden }) => !hidden).flatMap(({ long }) => long ?? []).concat('--help').sort()
}

async function operandsOf(command: Command, before: number): Promise<string[]> {
  if (command.commands.length > 0) return command.commands.map((one) => one.name()).filter((name) => !name.startsWith('__')).sort()
  if (command.name() === 'completion') return ['bash', 'fish', 'zsh']
  const kind = kindOf(command, before)
  if (kind === 'files') return [':files']
  const names = { containers, images, networks, volumes, none: () => Promise.resolve([]) }[kind]
  // A shell that waits for a word has no use for an error.
  return names().catch(() => [])
}

/** What an argument names, `before` of them standing before it. */
function kindOf(command: Command, before: number): Kind {
  const [name, group] = [command.name(), command.parent?.name() ?? '']
  if (group === 'network') return name === 'create' ? 'none' : before > 0 && (name === 'connect' || name === 'disconnect') ? 'containers' : 'networks'
  if (group === 'volume') return name === 'create' ? 'none' : 'volumes'
  if (group === 'image' && ['rm', 'inspect', 'ls'].includes(name)) return 'images'
  if (name === 'cp' || name === 'build' || name === 'import') return name === 'cp' ? 'containers' : 'files'
  if (name === 'exec' || name === 'run' || name === 'create') return before > 0 ? 'files' : name === 'exec' ? 'containers' : 'images'
  return CONTAINERS.includes(name) ? 'containers' : IMAGES.includes(name) ? 'images' : 'none'
}

async function containers(): Promise<string[]> {
  const { listContainers } = await import('@mayfly/core/listing')
  return (await listContainers()).map(({ name }) => name).sort()
}

async function images(): Promise<string[]> {
  const { listImages, openStore } = await import('@mayfly/core/engine')
  return (await listImages(await openStore())).map(({ reference }) => reference.familiar).sort()
}

async function networks(): Promise<string[]> {
  const { ask } = await import('../keeper.js')
  return ((await ask({ do: 'network', request: { act: 'list' } }) ?? []) as readonly { readonly name: string }[]).map(({ name }) => name).sort()
}

async function volumes(): Promise<string[]> {
  const { listVolumes } = await import('@mayfly/core/engine')
  return (await listVolumes()).map(({ name }) => name)
}
