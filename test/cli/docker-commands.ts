import { readFileSync } from 'node:fs'

/** What became of a flag of Docker's. */
export interface FlagRow {
  /** `--all`. */
  readonly long: string
  /** `-a`, where it has a short form. */
  readonly short: string | undefined
  readonly state: string
  /** How it differs, why it is absent, or the tests of what is the same. */
  readonly why: string
}

/** A command of Docker's and its other names, as words: `container ls`. */
export interface CommandTable {
  readonly names: readonly string[]
  readonly state: string
  readonly why: string
  readonly flags: readonly FlagRow[]
}

/** docs/docker-commands.md as data. */
export function readTable(file: URL): CommandTable[] {
  const text = readFileSync(file, 'utf8')
  const sections = text.split(/^### /m).slice(1).map((section): CommandTable => {
    const [heading = '', ...rest] = section.split('\n')
    const [, state = '', why = ''] = /^(same|different)(?:: ?|; ?|\.? ?)(.*)$/.exec(rest.find((line) => line !== '') ?? '') ?? []
    return { names: namesIn(heading), state, why, flags: rest.flatMap(flagRow) }
  })
  const absent = (text.split('## Absent commands')[1] ?? '').split('\n').flatMap((line): CommandTable[] => {
    const [, names = '', why = ''] = /^\| (`.*`) \| (.+) \|$/.exec(line) ?? []
    return names === '' ? [] : [{ names: namesIn(names), state: 'absent', why, flags: [] }]
  })
  return [...sections, ...absent]
}

function flagRow(line: string): FlagRow[] {
  const [, short, long = '', state = '', why = ''] = /^\| (?:`(-\w)`, )?`(--[a-z0-9-]+)` \| (\w+) \| (.*?) ?\|$/.exec(line) ?? []
  return long === '' ? [] : [{ long, short, state, why }]
}

function namesIn(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
}

/** Whether some call of the command line in a test's source has the flag: `'run', …, '--name'`, also `-it` or `--rm=true`. */
export function usesFlag(source: string, names: readonly string[], { long, short }: Pick<FlagRow, 'long' | 'short'>): boolean {
  const opposite = `--no-${long.slice(2)}`
  const flag = new RegExp(`['\`\\s](?:${long}(?:=[^'\`]*)?|${opposite}${short === undefined ? '' : `|-[a-zA-Z]*${short.slice(1)}[a-zA-Z]*`})['\`\\s]`)
  return callsOf(source, names).some((call) => flag.test(call))
}

export function usesCommand(source: string, names: readonly string[]): boolean {
  return callsOf(source, names).length > 0
}

/** Functions of the tests that are a command with a shorter name. */
const SHORT: Readonly<Record<string, string>> = { run: 'inside|facts', create: 'inspected', exec: 'exec' }

/** What follows a command's words, up to the end of its array or call. */
function callsOf(source: string, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const words = name.split(' ').map((word) => `'${word}'`).join(', ')
    const plain = new RegExp(`(?:[[(]|, )${words}(?=[,\\])])([\\s\\S]{0,700})`, 'g')
    const short = SHORT[name] === undefined ? [] : [...source.matchAll(new RegExp(`\\b(?:${SHORT[name]})\\(([\\s\\S]{0,700})`, 'g'))]
    return [...source.matchAll(plain), ...short].map(([, rest = '']) => rest)
  })
}
