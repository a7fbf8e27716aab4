import type { ImageDocument, RunningListing } from '@mayfly/core/engine'

import { report } from '../report.js'
import { formatInspect } from '../template/index.js'

export interface InspectOptions {
  readonly format?: string
  readonly type?: string
  readonly operations?: boolean
}

/** Shows all there is to know of containers and images; names that nothing has are told, and the exit code is 1. */
export async function inspect(names: readonly string[], { format, type, operations }: InspectOptions): Promise<void> {
  if (operations === true) return listed(names)
  const found: object[] = []
  for (const name of names) {
    try {
      found.push(await documentOf(name, type))
    } catch (error) {
      report(error)
      process.exitCode = 1
    }
  }
  process.stdout.write(formatInspect(found, format))
}

async function listed(images: readonly string[]): Promise<void> {
  const { endRun, planOf } = await import('@mayfly/core/engine')
  try {
    for (const image of images) process.stdout.write(await planOf(image))
  } finally {
    await endRun()
  }
}

async function documentOf(name: string, type: string | undefined): Promise<object> {
  if (type !== undefined && type !== 'container' && type !== 'image') {
    const { MayflyError } = await import('@mayfly/core/engine')
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `There is nothing of the type ${JSON.stringify(type)} to inspect`, { hint: 'Types are container and image.' })
  }
  if (type === 'image') return imageDocument(name)
  const { findContainer } = await import('@mayfly/core/engine')
  return findContainer(name).then(containerDocument, async (error: unknown) => {
    if (type === 'container') throw error
    return imageDocument(name)
  })
}

/** Throws ERR_MAYFLY_IMAGE_NOT_FOUND. */
async function imageDocument(name: string): Promise<ImageDocument> {
  const { chooseImage, inspectImage, listCatalog, openStore } = await import('@mayfly/core/engine')
  const store = await openStore()
  return inspectImage(store, chooseImage(await listCatalog(store), name).image)
}

function containerDocument(one: RunningListing): object {
  return {
    Id: one.id,
    Created: one.createdAt?.toISOString() ?? '',
    Name: `/${one.name}`,
    Image: one.imageId,
    State: {
      Status: one.state, Running: one.state === 'running', OOMKilled: one.oomKilled, ExitCode: one.state === 'exited' ? one.exitCode : 0,
      StartedAt: one.startedAt?.toISOString() ?? '', FinishedAt: one.exitedAt?.toISOString() ?? '',
    },
    Config: { Image: one.image, Cmd: one.command, Labels: one.labels },
    NetworkSettings: { Ports: one.ports },
    Owner: { Pid: one.ownerPid, Run: one.runId },
  }
}
