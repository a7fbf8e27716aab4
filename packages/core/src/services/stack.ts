import { isMayflyError } from '../errors.js'

/** Where somebody called something of ours. */
export interface Caller {
  readonly stack?: string
}

/** The caller of a function of ours, `below`. */
export function callerOf(below: (...args: never[]) => unknown): Caller {
  const caller: Caller = {}
  Error.captureStackTrace(caller, below)
  return caller
}

/** An error of ours as if it had been thrown where the call stands: it came by a socket, from another process. */
export function thrownAt(caller: Caller, error: unknown): unknown {
  if (isMayflyError(error)) error.stack = `${error.name}: ${error.message}${framesOf(caller.stack ?? '')}`
  return error
}

/** Our own frames say nothing to whoever reads why a test failed, and reporters would show our source instead of the test's. */
export function withoutOurFrames<E extends Error>(error: E): E {
  error.stack = `${error.name}: ${error.message}${framesOf((error.stack ?? '').replace(error.message, ''))}`
  return error
}

/** The same function, whose failures point at its caller. What is no function is itself. */
export function traced<T>(value: T): T {
  if (typeof value !== 'function') return value
  const call = (...args: readonly unknown[]): unknown => {
    const caller = callerOf(call)
    const result: unknown = Reflect.apply(value, undefined, args)
    return result instanceof Promise ? result.catch((error: unknown) => { throw thrownAt(caller, error) }) : result
  }
  return call as T
}

function framesOf(stack: string): string {
  return stack.split('\n').filter(line => /^\s+at /.test(line) && !isOurs(line)).map(line => `\n${line}`).join('')
}

/** Where our packages lie beside each other, as they are installed or in their repository: by a frame, since under jsdom a module's own address is the page's. */
let places: readonly string[] | undefined

function findPlaces(): readonly string[] {
  const scope = /(\/.*\/)(?:core|jest-env|vitest-plugin)\/(?:src|dist)\//.exec(new Error().stack ?? '')?.[1]
  return scope === undefined ? [] : ['core', 'jest-env', 'vitest-plugin'].flatMap(name => [`${scope}${name}/src/`, `${scope}${name}/dist/`])
}

function isOurs(line: string): boolean {
  return /\(<anonymous>\)$/.test(line) || line.includes('/node_modules/@mayfly/') || (places ??= findPlaces()).some(path => line.includes(path))
}
