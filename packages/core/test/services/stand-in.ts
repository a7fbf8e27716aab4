import { once } from 'node:events'
import type { AddressInfo, Server as Listener } from 'node:net'
import { onTestFinished } from 'vitest'
import type { PresetName } from '../../src/services/presets/index.js'
import { PRESETS } from '../../src/services/presets/index.js'
import type { Environment, Server, StateKeeping } from '../../src/services/presets/types.js'

/** What a preset knows of its state. */
export function stateOf(name: PresetName): StateKeeping {
  const { state } = PRESETS[name]
  if (state === undefined) throw new Error(`${name} has no state`)
  return state
}

/** A server of ours in place of a preset's, until the test is over. What is put into its container's one file is read from there; the only other way to it is its port. */
export async function standingIn(listener: Listener, env: Environment = {}): Promise<Server> {
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  onTestFinished(() => void listener.close())
  const { port } = listener.address() as AddressInfo
  let kept = ''
  const container = {
    urlOf: () => `http://127.0.0.1:${String(port)}`,
    exec: (_: unknown, options?: { input?: unknown }) => {
      if (options?.input !== undefined) kept = String(options.input)
      return Promise.resolve({ exitCode: 0, stdout: options?.input === undefined ? kept : '', stderr: '' })
    },
    socket: () => Promise.reject(new Error('by its port')),
  }
  return { container, env } as unknown as Server
}
