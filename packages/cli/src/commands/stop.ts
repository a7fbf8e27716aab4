import { askAbout } from '../keeper.js'
import { report } from '../report.js'

/** Stops detached containers; prints each as it was named. */
export async function stop(containers: readonly string[], options: { readonly time?: number }): Promise<void> {
  for (const container of containers) {
    try {
      await askAbout(container, { do: 'stop', ...(options.time === undefined ? {} : { timeout: options.time * 1000 }) })
      process.stdout.write(`${container}\n`)
    } catch (error) {
      report(error)
      process.exitCode = 1
    }
  }
}
