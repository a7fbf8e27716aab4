import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** A finding as the machine's own are. */
export interface TypesFinding {
  readonly name: string
  readonly ok: boolean
  readonly needed: boolean
  readonly value: string
  readonly mend?: string
}

/** The part of TypeScript that reads a tsconfig. */
interface TypeScript {
  readonly sys: { readFile(path: string): string | undefined }
  readConfigFile(path: string, read: (path: string) => string | undefined): { readonly config?: unknown }
  parseJsonConfigFileContent(config: unknown, host: object, base: string): { readonly fileNames: readonly string[] }
}

/**
 * Whether services' names are typed: the program of the tests must include the configuration. Nothing to say without a
 * configuration in TypeScript, without a tsconfig.json beside it or above, or where the project has no TypeScript.
 */
export function typedNames(config: string | undefined): TypesFinding | undefined {
  if (config === undefined || !/\.[cm]?ts$/.test(config)) return undefined
  const tsconfig = tsconfigAbove(dirname(config))
  const typescript = typescriptOf(config)
  if (tsconfig === undefined || typescript === undefined) return undefined
  const { config: text } = typescript.readConfigFile(tsconfig, path => typescript.sys.readFile(path))
  const { fileNames } = typescript.parseJsonConfigFileContent(text ?? {}, typescript.sys, dirname(tsconfig))
  const ok = fileNames.includes(config) || isReferred(text)
  return {
    name: 'typed names', ok, needed: false,
    value: ok ? `${config} is in the program of ${tsconfig}` : `${config} is not in the program of ${tsconfig}: its services' names are unknown to the compiler`,
    ...(ok ? {} : { mend: `Add it to "include" in ${tsconfig}, or import its type in the tests: import type {} from './mayfly.config.js'` }),
  }
}

/** A tsconfig that only refers to others says nothing of what they include. */
function isReferred(text: unknown): boolean {
  return typeof text === 'object' && text !== null && 'references' in text
}

function tsconfigAbove(directory: string): string | undefined {
  for (let at = directory; ; at = dirname(at)) {
    const path = join(at, 'tsconfig.json')
    if (existsSync(path)) return path
    if (at === dirname(at)) return undefined
  }
}

/** The project's own. TypeScript 7 has no such interface. */
function typescriptOf(config: string): TypeScript | undefined {
  try {
    const found = createRequire(config)('typescript') as Partial<TypeScript>
    return typeof found.parseJsonConfigFileContent === 'function' ? found as TypeScript : undefined
  } catch {
    return undefined
  }
}
