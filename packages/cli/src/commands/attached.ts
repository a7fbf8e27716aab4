import { converse } from '../keeper.js'
import { exitCode, join, ownSize, proxySignals, type Passed } from '../session.js'

interface Attached {
  /** `run` or `start`. */
  readonly request: object & { readonly do: 'run' | 'start' }
  readonly tty: boolean
  readonly input: boolean
  readonly detachKeys?: string | undefined
  readonly sigProxy: boolean
  readonly passed: Passed
  readonly onId?: (id: string) => Promise<void>
}

/**
 * Starts a container in the background run and attends to it until it ends. One of `run` ends with us, too, unless the
 * detach keys are typed: then it stays there.
 */
export async function attached({ request, tty, input, detachKeys, sigProxy, passed, onId }: Attached): Promise<void> {
  const options = (request as { readonly options?: object }).options
  const size = tty ? { tty: ownSize() ?? true } : {}
  const { answers, say, close } = await converse({ ...request, attached: true, options: { ...options, ...size } })
  try {
    const id = String((await answers.next()).value)
    if (sigProxy) proxySignals((signal) => say({ do: 'kill', container: id, signal }))
    await onId?.(id)
    const { openContainer } = await import('@mayfly/core/engine')
    await using container = await openContainer(id)
    const streams = await container.attach({ logs: true, stdin: input })
    const ended = await join(streams, { input: input && passed.stdin, tty, detachKeys, closes: true, passed })
    if (ended !== undefined) process.exitCode = exitCode(ended)
    else await say({ do: 'release', container: id })
  } finally {
    close()
  }
}
