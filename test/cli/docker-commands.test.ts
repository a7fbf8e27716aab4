import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

import { commandLine } from '../../packages/cli/src/program.js'
import { readTable, usesCommand, usesFlag, type CommandTable } from './docker-commands.js'

const root = new URL('../../', import.meta.url)
const table = readTable(new URL('docs/docker-commands.md', root))
const program = commandLine()
type Command = typeof program
type Option = Command['options'][number]

function commandOf(name: string): Command | undefined {
  return name.split(' ').reduce<Command | undefined>((at, word) => at?.commands.find((one) => one.name() === word || one.aliases().includes(word)), program)
}

function optionOf(command: Command | undefined, long: string): Option | undefined {
  const own = long.startsWith('--no-') ? [long] : [long, `--no-${long.slice(2)}`]
  return command?.options.find((option) => option.long !== undefined && own.includes(option.long) && !option.hidden)
}

/** Sources of the tests that a row names: `kept`, `run-flags`. */
function sources({ why }: { readonly why: string }): string[] {
  return [...why.matchAll(/\[([\w/-]+)\]/g)].map(([, name = '']) => readFileSync(new URL(`test/${name.includes('/') ? name : `cli/${name}`}.test.ts`, root), 'utf8'))
}

test('has every command once, with a state and its reason', () => {
  const names = table.flatMap((one) => one.names)
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([])
  expect(table.filter(({ state, why }) => !['same', 'different', 'absent'].includes(state) || why === '').map(({ names: [name] }) => name)).toEqual([])
  expect(table.length).toBeGreaterThan(60)
})

describe.each(table.map((one) => [one.names[0] ?? '', one] as const))('%s', (_, command: CommandTable) => {
  test('is what the command line has', () => {
    for (const name of command.names) {
      const found = commandOf(name)
      expect([name, found !== undefined]).toEqual([name, command.state !== 'absent'])
      for (const { long, short, state } of command.flags) {
        const option = optionOf(found, long)
        expect([name, long, option === undefined ? 'absent' : 'there']).toEqual([name, long, state === 'absent' ? 'absent' : 'there'])
        if (option !== undefined) expect([name, long, option.short]).toEqual([name, long, short])
      }
      // And it has nothing that the table does not tell.
      const told = new Set(command.flags.map(({ long }) => long))
      const untold = (found?.options ?? []).filter(({ hidden, long = '' }) => !hidden && !told.has(long) && !told.has(long.replace(/^--no-/, '--')))
      if (command.state !== 'absent') expect(untold.map(({ long }) => long)).toEqual([])
    }
  })

  test('says why what is not the same is not, and has a test of what is', () => {
    if (command.state === 'same') expect(sources(command).some((text) => usesCommand(text, command.names))).toBe(true)
    const untested = command.flags.filter((row) => row.state === 'same' && !sources(row).some((text) => usesFlag(text, command.names, row)))
    expect(untested.map(({ long }) => long)).toEqual([])
    expect(command.flags.filter(({ state, why }) => !['same', 'different', 'absent', 'own'].includes(state) || why === '').map(({ long }) => long)).toEqual([])
  })
})

const docker = spawnSync('docker', ['help'], { encoding: 'utf8' })
const absent = docker.error !== undefined
test.skipIf(absent)(`has all of Docker's own reference${absent ? ' (skipped: docker is not installed here)' : ''}`, () => {
  const missing: string[] = []
  const groups = commandsIn(docker.stdout)
  for (const name of groups) {
    const { subcommands, flags } = helpOf(name)
    const inGroup = subcommands.map((one) => `${name} ${one}`)
    for (const one of inGroup.length > 0 && !isAbsent(name) ? inGroup : [name]) {
      const found = table.find(({ names }) => names.includes(one))
      if (found === undefined) missing.push(one)
      if (found === undefined || found.state === 'absent') continue
      for (const flag of one === name ? flags : helpOf(one).flags) if (!found.flags.some(({ long, short }) => `${short ?? ''}${long}` === flag)) missing.push(`${one} ${flag}`)
    }
  }
  expect(missing).toEqual([])
}, 60_000)

function isAbsent(name: string): boolean {
  return table.some(({ names, state }) => state === 'absent' && names.includes(name))
}

function helpOf(name: string): { readonly subcommands: readonly string[], readonly flags: readonly string[] } {
  const { stdout } = spawnSync('docker', [...name.split(' '), '--help'], { encoding: 'utf8' })
  const flags = [...(stdout.split(/^Options:$/m)[1] ?? '').matchAll(/^ {2,6}(?:(-\w), )?(--[a-z0-9-]+)/gm)].map(([, short = '', long = '']) => `${short}${long}`)
  return { subcommands: /^Commands:$/m.test(stdout) ? commandsIn(stdout) : [], flags: flags.filter((flag) => flag !== '--help') }
}

/** The names under every head that ends in `Commands:`. */
function commandsIn(help: string): string[] {
  return [...help.matchAll(/^(?:\w+ )?Commands:\n((?: {2}.*\n)+)/gm)].flatMap(([, lines = '']) => [...lines.matchAll(/^ {2}([a-z]+)\*? /gm)].map(([, name = '']) => name))
}
