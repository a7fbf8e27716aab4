import { report } from '../report.js'

/** Removes images one by one; those that cannot be are told, and the exit code is 1. */
export async function rmi(names: readonly string[], options: { readonly force?: boolean }): Promise<void> {
  const { removeImage } = await import('@mayfly/core/engine')
  for (const name of names) {
    try {
      const { untagged, deleted } = await removeImage(name, options)
      for (const one of untagged) process.stdout.write(`Untagged: ${one}\n`)
      for (const one of deleted) process.stdout.write(`Deleted: ${one}\n`)
    } catch (error) {
      const absent = (error as { readonly code?: string }).code === 'ERR_MAYFLY_IMAGE_NOT_FOUND'
      report(error)
      // As with Docker, -f is also for scripts that do not care whether it was there.
      if (!absent || options.force !== true) process.exitCode = 1
    }
  }
}
