import { constants } from 'node:os'

import { converse } from '../keeper.js'

/** Runs a container in the background run, beside the others of its network, and attends to it until it ends; it ends with us, too. */
export async function attached(request: object): Promise<void> {
  const { answers, say, close } = await converse(request)
  const id = String((await answers.next()).value)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
    process.on(signal, () => { void say({ do: 'kill', container: id, signal }).catch(() => undefined) })
  }
  try {
    const { containerLogs } = await import('@mayfly/core/engine')
    const ended = answers.next()
    // One that ended and was forgotten before we looked printed what it had to before.
    await passOn(containerLogs(id, { follow: true })).catch(() => undefined)
    const { code, signal } = (await ended).value as { readonly code: number, readonly signal?: keyof typeof constants.signals }
    process.exitCode = signal === undefined ? code : 128 + (constants.signals[signal] ?? 0)
  } finally {
    close()
  }
}

async function passOn(lines: AsyncIterable<{ readonly stream: 'stdout' | 'stderr', readonly text: string }>): Promise<void> {
  for await (const { stream, text } of lines) {
    if (!process[stream].write(`${text}\n`)) await new Promise((go) => { process[stream].once('drain', go) })
  }
}
