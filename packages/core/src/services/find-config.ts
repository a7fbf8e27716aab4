import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

const NAMES = ['ts', 'mts', 'cts', 'js', 'mjs', 'cjs'].map(extension => `mayfly.config.${extension}`)

/** The nearest `mayfly.config.*` from a directory upwards, or undefined. */
export function findConfig(from: string): string | undefined {
  for (let directory = resolve(from); ; directory = dirname(directory)) {
    const found = NAMES.map(name => join(directory, name)).find(path => existsSync(path))
    if (found !== undefined || directory === dirname(directory)) return found
  }
}
