import { each } from '../action.js'
import { ask } from '../keeper.js'

/** Sends containers of any live run a signal. */
export async function kill(names: readonly string[], { signal = 'KILL' }: { readonly signal?: string }): Promise<void> {
  const { findContainer, openContainer } = await import('@mayfly/core/engine')
  await each(names, async (name) => {
    const { id, kept } = await findContainer(name)
    if (kept !== undefined && await ask({ do: 'kill', container: id, signal }) !== undefined) return name
    await using container = await openContainer(id)
    await container.kill(signal)
    return name
  })
}

/** Stops all their processes where they are, or lets them go on. */
export async function pause(names: readonly string[], still: boolean): Promise<void> {
  const { findContainer, openContainer } = await import('@mayfly/core/engine')
  await each(names, async (name) => {
    const { id, kept, state } = await findContainer(name)
    if (still ? state === 'paused' : state === 'running') throw Object.assign(new Error(`Container ${name} is ${still ? 'already' : 'not'} paused`), { code: 'ERR_MAYFLY_OPTION_INVALID' })
    if (kept !== undefined && await ask({ do: still ? 'pause' : 'unpause', container: id }) !== undefined) return name
    await using container = await openContainer(id)
    await container.pause(still)
    return name
  })
}
