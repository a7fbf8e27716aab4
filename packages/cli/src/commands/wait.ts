import { each } from '../action.js'

/** What is said of a container that ended while it was looked for. */
const OVER: readonly unknown[] = ['ERR_MAYFLY_NOT_RUNNING', 'ERR_MAYFLY_CONTAINER_NOT_FOUND', 'ERR_MAYFLY_RUN_LOST']

/** Prints the exit code of each container once it has ended. */
export async function wait(names: readonly string[]): Promise<void> {
  const { findContainer, openContainer } = await import('@mayfly/core/engine')
  await each(names, async (name) => {
    let found = await findContainer(name)
    while (found.state === 'running' || found.state === 'paused') {
      try {
        await using container = await openContainer(found.id)
        return String(await container.wait())
      } catch (error) {
        if (!OVER.includes((error as { code?: unknown }).code)) throw error
        // Of one that was not to stay nothing is known any more.
        found = await findContainer(found.id).catch(() => { throw error })
      }
    }
    return String(found.exitCode)
  })
}
