import { each } from '../action.js'
import { ask } from '../keeper.js'

interface Flags {
  readonly timeout?: number
  readonly time?: number
  readonly signal?: string
}

/** As far in the future as a timer goes. */
const NEVER = 2 ** 31 - 1

/** Stops containers of any live run; prints each as it was named. */
export async function stop(names: readonly string[], flags: Flags): Promise<void> {
  const { findContainer, stopContainer } = await import('@mayfly/core/engine')
  await each(names, async (name) => {
    const { id, kept } = await findContainer(name)
    if (kept === undefined) await stopContainer(id, request(flags))
    else await ask({ do: 'stop', container: id, ...request(flags) })
    return name
  })
}

/** Those that the background run keeps. */
export async function restart(names: readonly string[], flags: Flags): Promise<void> {
  const { findContainer } = await import('@mayfly/core/engine')
  await each(names, async (name) => {
    const { id, kept } = await findContainer(name)
    if (kept === undefined) throw Object.assign(new Error(`${name} belongs to another process, which alone can start it again`), { code: 'ERR_MAYFLY_UNSUPPORTED' })
    await ask({ do: 'restart', container: id, ...request(flags) }, { start: true })
    return name
  })
}

function request({ timeout, time, signal }: Flags): { readonly timeout?: number, readonly signal?: string } {
  const seconds = timeout ?? time
  return { ...(seconds === undefined ? {} : { timeout: seconds < 0 ? NEVER : Math.min(NEVER, seconds * 1000) }), ...(signal === undefined ? {} : { signal }) }
}
