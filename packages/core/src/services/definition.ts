import { createHash } from 'node:crypto'
import { hashInputs } from './inputs.js'
import type { Service, Services } from './types.js'

/**
 * What the instances of a service depend on, as a text: while it is the same, they may stay though the configuration has
 * changed. What only its next start heeds (`ready`), or its users (`exports`), is not in it.
 */
export function definitionOf(name: string, service: Service, config: string): string {
  const {
    exports: _exports, start: _start, ready: _ready, startTimeout: _startTimeout, pull: _pull, needs = {}, ...options
  } = service.options
  const hash = createHash('sha256').update(`${service.image}\0`)
  let functions = false
  const text = JSON.stringify(options, (_, value: unknown) => {
    if (typeof value === 'function') functions = true
    return typeof value === 'function' || value instanceof RegExp ? String(value) : value
  })
  hash.update(text)
  for (const [key, need] of Object.entries(needs)) hash.update(`\0${key}\0${definitionOf(key, need, config)}`)
  // What a function calls and encloses stands in the configuration's modules.
  const { prepare } = options
  if (functions) hashInputs(hash, config, name, typeof prepare === 'object' ? prepare.inputs ?? [] : [])
  return hash.digest('hex')
}

export function definitionsOf(services: Services, config: string): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(services).map(([name, service]) => [name, definitionOf(name, service, config)]))
}
