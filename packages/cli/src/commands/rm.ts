import { each } from '../action.js'
import { ask } from '../keeper.js'
import { report } from '../report.js'

/** Removes containers that do not run; with `force` also those that do, of any live run. */
export async function rm(names: readonly string[], { force = false }: { readonly force?: boolean }): Promise<void> {
  const { findContainer, isMayflyError, MayflyError, stopContainer } = await import('@mayfly/core/engine')
  await each(names, async (name) => {
    const found = await findContainer(name).catch((error: unknown) => {
      if (!force || !isMayflyError(error) || error.code !== 'ERR_MAYFLY_CONTAINER_NOT_FOUND') throw error
      report(error)
      return undefined
    })
    if (found === undefined) return undefined
    const { id, kept, state } = found
    if (kept !== undefined) await ask({ do: 'remove', container: id, force }, { start: true })
    else if (state === 'exited' || force) await stopContainer(id, { timeout: 0 })
    else throw new MayflyError('ERR_MAYFLY_CONTAINER_RUNNING', `Container ${name} runs`, { hint: `Stop it first, or have it killed: mayfly rm -f ${name}` })
    return name
  })
}

/** Gives a container that the background run keeps another name. */
export async function rename(which: string, name: string): Promise<void> {
  const { findContainer } = await import('@mayfly/core/engine')
  const { id, kept } = await findContainer(which)
  if (kept === undefined) throw foreign(which)
  await ask({ do: 'rename', container: id, name }, { start: true })
}

export function foreign(name: string): Error {
  return Object.assign(new Error(`${name} belongs to another process, which alone can change it`), { code: 'ERR_MAYFLY_UNSUPPORTED' })
}
