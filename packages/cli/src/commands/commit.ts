import { ask } from '../keeper.js'

interface Flags {
  readonly message?: string
  readonly author?: string
  readonly change?: readonly string[]
  readonly pause: boolean
}

/** `mayfly commit`: an image of a kept container's changes, whether it runs or not; its id on standard output. */
export async function commit(which: string, name: string | undefined, { message, author, change, pause }: Flags): Promise<void> {
  const { findContainer } = await import('@mayfly/core/engine')
  const { id, kept } = await findContainer(which)
  const made = await ask({ do: 'commit', container: id, options: { name, message, author, changes: change, pause } }, { start: kept !== undefined }) as { id: string } | undefined
  if (made === undefined) {
    throw Object.assign(new Error(`${which} belongs to another process, which alone can make an image of it`), {
      code: 'ERR_MAYFLY_UNSUPPORTED', hint: 'Start it with mayfly run -d; a test calls container.commit().',
    })
  }
  process.stdout.write(`${made.id}\n`)
}
