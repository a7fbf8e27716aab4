import { MayflyError } from '../errors.js'
import type { KeptContainer } from '../container/kept.js'
import type { Label } from '../container/label.js'
import type { RunOptions } from '../container/types.js'
import { loadImage, openStore, type Image } from '../images/index.js'
import { parseReference } from '../reference.js'
import type { Entry } from './entry.js'

/** Names of its volumes. */
export function volumesOf({ mounts = [] }: RunOptions): string[] {
  return mounts.flatMap((one) => ('source' in one || typeof one.volume !== 'string' ? [] : [one.volume]))
}

export const NOWHERE = { env: [], hostname: '', workdir: '/', identity: { uid: 0, gid: 0, groups: [], home: '' }, rights: {} } as unknown as Label['inside']

/** What is known of one that has not been started yet. */
export function before({ inside: _inside, ports: _ports, ...label }: Label): Partial<Label> {
  return label
}

export function notRunning({ record }: Entry): MayflyError {
  return new MayflyError('ERR_MAYFLY_NOT_RUNNING', `Container ${record.name} is not running`, { hint: `Start it first: mayfly start ${record.name}` })
}

/** The image it is made from, whatever has its name by now. Throws ERR_MAYFLY_IMAGE_NOT_FOUND. */
export async function imageOf({ image, digest }: KeptContainer): Promise<Image> {
  const found = await loadImage(await openStore(), parseReference(image), digest)
  if (found !== undefined) return found
  throw new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `The image that the container was made from is no longer in the store: ${image}`, { hint: `Pull it again: mayfly pull ${image}` })
}
