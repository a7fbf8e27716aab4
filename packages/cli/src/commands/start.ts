import { each, invalid } from '../action.js'
import { ask } from '../keeper.js'
import { checkDetachKeys, requireTerminal } from '../session.js'

interface Flags {
  readonly attach?: boolean
  readonly interactive?: boolean
  readonly detachKeys?: string
}

/** Starts containers that the background run keeps; prints each as it was named, or joins one of them. */
export async function start(names: readonly string[], flags: Flags): Promise<void> {
  checkDetachKeys(flags.detachKeys)
  const { findContainer } = await import('@mayfly/core/engine')
  if (flags.attach === true || flags.interactive === true) {
    const [which = '', ...others] = names
    if (others.length > 0) throw invalid('You can attach to one container only', 'Start the others without -a and -i.')
    return joined(await findContainer(which), flags)
  }
  await each(names, async (name) => {
    const { id, kept, state } = await findContainer(name)
    if (kept === undefined && state !== 'running') throw foreign(name)
    if (kept !== undefined) await ask({ do: 'start', container: id }, { start: true })
    return name
  })
}

async function joined({ id, kept, state, tty, name }: { readonly id: string, readonly kept: object | undefined, readonly state: string, readonly tty: boolean, readonly name: string }, flags: Flags): Promise<void> {
  if (state === 'running') return (await import('./attach.js')).attach(id, { stdin: flags.interactive === true, sigProxy: true, ...(flags.detachKeys === undefined ? {} : { detachKeys: flags.detachKeys }) })
  if (kept === undefined) throw foreign(name)
  requireTerminal(flags.interactive, tty)
  const { attached } = await import('./attached.js')
  await attached({
    request: { do: 'start', container: id } as { do: 'start' }, tty, input: flags.interactive === true, detachKeys: flags.detachKeys, sigProxy: true,
    passed: { stdin: flags.interactive === true, stdout: true, stderr: true },
  })
}

function foreign(name: string): Error {
  return Object.assign(new Error(`${name} belongs to another process, which alone can start it again`), { code: 'ERR_MAYFLY_UNSUPPORTED' })
}
