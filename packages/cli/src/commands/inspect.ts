import type { ImageDocument } from '@mayfly/core/engine'

import { containerDocument } from '../container-document.js'
import { report } from '../report.js'
import { formatInspect } from '../template/index.js'

export interface InspectOptions {
  readonly format?: string
  readonly type?: string
  readonly operations?: boolean
  readonly size?: boolean
}

/** Shows all there is to know of containers and images; names that nothing has are told, and the exit code is 1. */
export async function inspect(names: readonly string[], { format, type, operations, size }: InspectOptions): Promise<void> {
  if (operations === true) return listed(names)
  const found: object[] = []
  for (const name of names) {
    try {
      found.push(await documentOf(name, type, size === true))
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

const TYPES = ['container', 'image', 'network', 'volume']

/** As with Docker, a name is first a container's, then an image's, a network's, a volume's. */
async function documentOf(name: string, type: string | undefined, size: boolean): Promise<object> {
  const { findContainer, isMayflyError, MayflyError } = await import('@mayfly/core/engine')
  if (type !== undefined && !TYPES.includes(type)) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `There is nothing of the type ${JSON.stringify(type)} to inspect`, { hint: `Types are ${TYPES.join(', ')}.` })
  }
  const ways: Readonly<Record<string, () => Promise<object>>> = {
    container: async () => containerDocument(await findContainer(name), size),
    image: () => imageDocument(name),
    network: async () => (await import('./network.js')).networkDocument(name),
    volume: async () => (await import('./volume.js')).volumeDocument(name),
  }
  const tried = Object.entries(ways).filter(([kind]) => type === undefined || type === kind)
  const failures: unknown[] = []
  for (const [, way] of tried) {
    try {
      return await way()
    } catch (error) {
      if (!isMissing(error)) throw error
      // A name that several containers have is nobody else's.
      if (isMayflyError(error) && error.message.includes('several')) throw error
      failures.push(error)
    }
  }
  // Of what it could have been, an image is what people most often mean by a name that is none.
  throw failures[type === undefined ? 1 : 0]
}

function isMissing(error: unknown): boolean {
  return /^ERR_MAYFLY_(CONTAINER|IMAGE|NETWORK|VOLUME)_NOT_FOUND$|^ERR_MAYFLY_REFERENCE_INVALID$/.test(String((error as { readonly code?: unknown }).code))
}

/** Throws ERR_MAYFLY_IMAGE_NOT_FOUND. */
async function imageDocument(name: string): Promise<ImageDocument> {
  const { chooseImage, inspectImage, listCatalog, openStore } = await import('@mayfly/core/engine')
  const store = await openStore()
  return inspectImage(store, chooseImage(await listCatalog(store), name).image)
}
