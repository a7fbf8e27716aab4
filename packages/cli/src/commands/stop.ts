import { ask } from '../keeper.js'
import { report } from '../report.js'

/** Stops containers of any live run; prints each as it was named. */
export async function stop(containers: readonly string[], options: { readonly time?: number }): Promise<void> {
  const { findContainer, stopContainer } = await import('@mayfly/core/engine')
  const timeout = options.time === undefined ? {} : { timeout: options.time * 1000 }
  for (const container of containers) {
    try {
      const { id } = await findContainer(container)
      // The keeper is told, so that it can end with its last container; others notice by themselves.
      if (await ask({ do: 'stop', container: id, ...timeout }) === undefined) await stopContainer(id, timeout)
      process.stdout.write(`${container}\n`)
    } catch (error) {
      report(error)
      process.exitCode = 1
    }
  }
}
