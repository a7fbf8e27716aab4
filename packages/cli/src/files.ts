import type { RemoteContainer, RunningListing } from '@mayfly/core/engine'

import { converse } from './keeper.js'

export type ContainerFiles = Pick<RemoteContainer, 'copyIn' | 'copyOut' | 'archive'>

/** Works with a container's files, whether it runs or not. */
export async function withFiles(container: RunningListing, work: (files: ContainerFiles) => Promise<void>): Promise<void> {
  const { openContainer, openKeptFiles } = await import('@mayfly/core/engine')
  if (container.kept === undefined || container.state === 'running' || container.state === 'paused') {
    await using running = await openContainer(container.id)
    return await work(running)
  }
  // They are open for as long as the keeper is spoken to.
  const { answers, close } = await converse({ do: 'files', container: container.id })
  try {
    const open = (await answers.next()).value as { readonly id: string, readonly run: string } | undefined
    await using files = open === undefined ? await openContainer(container.id) : await openKeptFiles(container, open)
    await work(files)
  } finally {
    close()
  }
}
