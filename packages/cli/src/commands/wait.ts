import { each } from '../action.js'

/** Prints the exit code of each container once it has ended. */
export async function wait(names: readonly string[]): Promise<void> {
  const { findContainer, openContainer } = await import('@mayfly/core/engine')
  await each(names, async (name) => {
    const found = await findContainer(name)
    if (found.state !== 'running' && found.state !== 'paused') return String(found.exitCode)
    await using container = await openContainer(found.id)
    return String(await container.wait())
  })
}
