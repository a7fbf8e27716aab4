import { each, invalid } from '../action.js'
import { ask } from '../keeper.js'
import { limitOptions, type LimitFlags } from '../limit-flags.js'
import { foreign } from './rm.js'

/** Changes limits of containers, and what becomes of them when they end. */
export async function update(names: readonly string[], { restart, ...flags }: LimitFlags & { readonly restart?: string }): Promise<void> {
  const { findContainer, parseRestartPolicy } = await import('@mayfly/core/engine')
  const limits = limitOptions(flags)
  const changes = { ...(restart === undefined ? {} : { restart: parseRestartPolicy(restart) }), ...(Object.keys(limits).length === 0 ? {} : { limits }) }
  if (Object.keys(changes).length === 0) throw invalid('Nothing was named that shall change', 'Such as --memory 256m or --restart always.')
  await each(names, async (name) => {
    const { id, kept } = await findContainer(name)
    if (kept === undefined) throw foreign(name)
    await ask({ do: 'update', container: id, ...changes }, { start: true })
    return name
  })
}
