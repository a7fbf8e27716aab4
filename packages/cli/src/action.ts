import type { Command } from 'commander'

import { report } from './report.js'

/** For options that may be given several times. */
export const collect = (value: string, all: string[] = []): string[] => [...all, value]

/** Docker ends most commands with 1 when they fail; 125 is for `run`. */
export function ends1<Words extends unknown[]>(action: (...words: Words) => Promise<void>): (...words: Words) => Promise<void> {
  return async (...words) => {
    try {
      await action(...words)
    } catch (error) {
      report(error, 1)
      process.exitCode = (error as { readonly exitCode?: number }).exitCode ?? 1
    }
  }
}

/** The group of commands of this name, made when it is not there. */
export function group(program: Command, name: string, description: string): Command {
  return program.commands.find((command) => command.name() === name) ?? program.command(name).description(description)
}

/** Whether a command of this name is asked for. */
export type Wanted = (name: string) => boolean

/** A command that has a short and a long form, such as `ps` and `container ls`. */
export function both(parents: readonly (readonly [parent: Command, name: string])[], describe: (command: Command) => unknown): void {
  for (const [parent, name] of parents) describe(parent.command(name))
}

/** Does something with each of what was named; all that can be done is, and the rest is told. */
export async function each(names: readonly string[], work: (name: string) => Promise<string | undefined | void>): Promise<void> {
  for (const name of names) {
    try {
      const said = await work(name)
      if (typeof said === 'string') process.stdout.write(`${said}\n`)
    } catch (error) {
      report(error)
      process.exitCode = 1
    }
  }
}

/** A whole number from `least` on; -1 where it has a meaning. */
export function whole(least = 0): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (/^-?\d+$/.test(text) && Number.isSafeInteger(number) && number >= least) return number
    throw invalid(`Invalid number ${JSON.stringify(text)}`, least === 0 ? 'Give a whole number.' : `Give a whole number from ${least}.`)
  }
}

/** A number such as 1.5. */
export function decimal(text: string): number {
  const number = Number(text)
  if (text.trim() !== '' && Number.isFinite(number)) return number
  throw invalid(`Invalid number ${JSON.stringify(text)}`, 'Give a number, such as 1.5.')
}

export function invalid(message: string, hint: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_MAYFLY_OPTION_INVALID', hint })
}
