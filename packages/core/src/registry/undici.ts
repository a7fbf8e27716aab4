import type { Agent, Dispatcher } from 'undici'

/** What a pull needs of undici: the rest (fetch, WebSocket, caches, mocks) takes three times as long to load, 45 ms of each command. */
export interface UndiciParts {
  readonly Agent: typeof Agent
  request(dispatcher: Dispatcher, options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData>
}

let parts: Promise<UndiciParts> | undefined

export function undiciParts(): Promise<UndiciParts> {
  // Files inside a package may move with any version of it.
  parts ??= only().catch(() => whole())
  return parts
}

/** Without types of their own. */
const AGENT: string = 'undici/lib/dispatcher/agent.js'
const REQUEST: string = 'undici/lib/api/api-request.js'

async function only(): Promise<UndiciParts> {
  const { default: agent } = await import(/* @vite-ignore */ AGENT) as { default: typeof Agent }
  const { default: request } = await import(/* @vite-ignore */ REQUEST) as { default: Dispatcher['request'] }
  if (typeof agent !== 'function' || typeof request !== 'function') throw new TypeError('undici has other parts')
  return { Agent: agent, request: (dispatcher, options) => request.call(dispatcher, options) as Promise<Dispatcher.ResponseData> }
}

async function whole(): Promise<UndiciParts> {
  const undici = await import('undici')
  return { Agent: undici.Agent, request: (dispatcher, options) => dispatcher.request(options) }
}
