import type { RunOptions } from '@mayfly/core'

import { converse } from '../keeper.js'
import { exitCode, join, ownSize, proxySignals } from '../session.js'

interface AttachedRun {
  readonly image: string
  readonly options: RunOptions
  readonly networks?: readonly string[]
  readonly detachKeys?: string | undefined
}

/**
 * Runs a container in the background run and attends to it until it ends; it ends with us, too, unless the detach keys
 * are typed: then it stays there.
 */
export async function attached({ detachKeys, ...request }: AttachedRun): Promise<void> {
  const { options } = request
  const tty = options.tty !== undefined && options.tty !== false
  const { answers, say, close } = await converse({
    do: 'run', forget: false, attached: true, ...request, options: { ...options, hold: true, ...(tty ? { tty: ownSize() ?? true } : {}) },
  })
  const id = String((await answers.next()).value)
  proxySignals((signal) => say({ do: 'kill', container: id, signal }))
  try {
    const { openContainer } = await import('@mayfly/core/engine')
    await using container = await openContainer(id)
    const streams = await container.attach({ logs: true, stdin: options.stdin === true })
    const ended = await join(streams, { input: options.stdin === true, tty, detachKeys, closes: true })
    if (ended !== undefined) process.exitCode = exitCode(ended)
    else await say({ do: 'release', container: id })
  } finally {
    close()
  }
}
