import { constants } from 'node:os'

/**
 * Does work that the first SIGINT, SIGTERM or SIGHUP ends in order, leaving nothing half-done, with 128 + the signal as the exit code; the second
 * ends at once.
 */
export async function interruptible(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const cancel = new AbortController()
  let heard: keyof typeof constants.signals | undefined
  const hear = (name: NodeJS.Signals): void => {
    if (heard !== undefined) process.exit(128 + constants.signals[heard])
    heard = name
    cancel.abort()
  }
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const name of names) process.on(name, hear)
  try {
    await work(cancel.signal)
  } catch (error) {
    if (heard === undefined) throw error
    process.exitCode = 128 + constants.signals[heard]
  } finally {
    for (const name of names) process.off(name, hear)
  }
}
