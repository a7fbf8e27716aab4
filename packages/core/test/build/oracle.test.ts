import { DockerfileParser, type Argument, type Env, type Flag, type From, type Instruction as Theirs, type JSONInstruction, type ModifiableInstruction } from 'dockerfile-ast'
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { expandWord } from '../../src/build/dockerfile/expand.js'
import { parseDockerfile } from '../../src/build/dockerfile/parse.js'
import type { Instruction } from '../../src/build/dockerfile/types.js'

/** Dockerfiles as people write them, and as nobody should: dockerfile-ast and we read them alike. */
const corpus = fileURLToPath(new URL('corpus', import.meta.url))

test.each(readdirSync(corpus).sort())('%s is read as another parser reads it', (name) => {
  const text = readFileSync(`${corpus}/${name}`, 'utf8')
  const theirs = DockerfileParser.parse(text.replace(/^\uFEFF/, ''))
  const { directives, instructions } = parseDockerfile({ file: name, text })
  expect(instructions.map(({ kind, place }) => [kind, place.line, place.column]))
    .toEqual(theirs.getInstructions().map((one) => [one.getKeyword(), one.getRange().start.line + 1, one.getRange().start.character + 1]))
  expect(directives['escape'] ?? '\\').toBe(theirs.getEscapeCharacter())
  for (const [nth, their] of theirs.getInstructions().entries()) {
    const our = instructions[nth]
    if (our !== undefined) expect({ line: our.place.line, ...ourReading(our, theirs.getEscapeCharacter()) }).toEqual({ line: our.place.line, ...theirReading(their, our) })
  }
})

/** dockerfile-ast leaves out the spaces of JSON strings. */
function spaceless(words: readonly string[] | undefined): readonly string[] | undefined {
  return words?.map((word) => word.replace(/\s/g, ''))
}

/** What both say about an instruction, in the same words. */
function ourReading(one: Instruction, escape: string): object {
  const plain = (text: string): string => (text.includes('$') ? text : expandWord(text, () => undefined, escape).text)
  switch (one.kind) {
    case 'FROM': return { image: one.image, stage: one.name, platform: one.platform }
    case 'COPY': case 'ADD': return { from: one.from, words: one.heredocs.length > 0 ? [] : [...one.sources, one.destination], heredocs: one.heredocs.map(({ name }) => name) }
    case 'RUN': return { exec: one.command.form === 'exec' ? spaceless(one.command.words) : undefined, mounts: one.mounts.map(({ type, options }) => ({ type, ...options })), heredocs: one.command.form === 'exec' ? [] : one.command.heredocs.map(({ name }) => name) }
    case 'CMD': case 'ENTRYPOINT': return { exec: one.command.form === 'exec' ? spaceless(one.command.words) : undefined }
    case 'SHELL': return { exec: spaceless(one.words) }
    case 'HEALTHCHECK': return { interval: one.interval, timeout: one.timeout, retries: one.retries, startPeriod: one.startPeriod }
    case 'ENV': case 'LABEL': return { pairs: one.pairs.map(({ name, value }) => [plain(name), value.includes('$') ? '…' : plain(value)]) }
    case 'EXPOSE': return { words: one.words }
    case 'USER': case 'WORKDIR': case 'STOPSIGNAL': return { value: one.value }
    case 'ONBUILD': return { trigger: one.trigger }
    default: return {}
  }
}

function theirReading(one: Theirs, our: Instruction): object {
  const words = (): string[] => one.getArguments().map((argument: Argument) => argument.getValue())
  const flags = (): readonly Flag[] => (one as ModifiableInstruction).getFlags()
  const flag = (name: string): string | undefined => flags().find((each) => each.getName() === name)?.getValue() ?? undefined
  const json = (): string[] | undefined => {
    const { getOpeningBracket, getClosingBracket } = one as JSONInstruction
    if (getOpeningBracket.call(one) === null || getClosingBracket.call(one) === null) return undefined
    return (one as JSONInstruction).getJSONStrings().map((string) => string.getJSONValue().replace(/\s/g, ''))
  }
  const heredocs = (): string[] => (one as unknown as { getHeredocs(): { getName(): string }[] }).getHeredocs().map((each) => each.getName())
  switch (our.kind) {
    case 'FROM': return { image: (one as From).getImage(), stage: (one as From).getBuildStage() ?? undefined, platform: (one as From).getPlatformFlag()?.getValue() ?? undefined }
    case 'COPY': case 'ADD': return { from: flag('from'), words: heredocs().length > 0 ? [] : json() ?? words(), heredocs: heredocs() }
    case 'RUN': return {
      exec: our.command.form === 'exec' ? json() : undefined, heredocs: heredocs(),
      mounts: flags().filter((each) => each.getName() === 'mount').map((each) => Object.fromEntries(each.getOptions().map((option) => [option.getName(), option.getValue()]))),
    }
    case 'CMD': case 'ENTRYPOINT': return { exec: our.command.form === 'exec' ? json() : undefined }
    case 'SHELL': return { exec: json() }
    case 'HEALTHCHECK': return { interval: flag('interval'), timeout: flag('timeout'), retries: flag('retries'), startPeriod: flag('start-period') }
    case 'ENV': case 'LABEL': return { pairs: (one as Env).getProperties().map((property) => [property.getName(), property.getValue()?.includes('$') === true ? '…' : property.getValue() ?? '']) }
    case 'EXPOSE': return { words: words() }
    case 'USER': case 'WORKDIR': case 'STOPSIGNAL': return { value: one.getArgumentsContent() }
    case 'ONBUILD': return { trigger: one.getArgumentsContent() }
    default: return {}
  }
}
