import type { Container, RunOptions, Snapshot, SnapshotInfo, SnapshotOptions } from '../container/types.js'
import type { Lease } from './client.js'
import type { Behind } from './handle.js'
import { shownError } from './wire.js'

/** A snapshot's facts with their time as milliseconds since 1970. */
export type WireSnapshot = Omit<SnapshotInfo, 'createdAt'> & { readonly createdAt: number }

/** See `Container.snapshot`. Containers that start from it are the run host's, and end with the file. */
export async function snapshotOf(lease: Lease, options: SnapshotOptions | undefined, handleOf: (name: string, behind: Behind) => object): Promise<Snapshot> {
  const { createdAt, ...info } = (await lease.call('snapshot', [options])) as WireSnapshot
  const remove = async (): Promise<void> => void (await lease.call('removeSnapshot', [info.key]))
  return {
    ...info,
    createdAt: new Date(createdAt),
    run: async ({ signal: _signal, onPull: _onPull, ...given }: RunOptions = {}) => {
      const clone = await lease.another(info.key, plain(given))
      return handleOf(clone.grant.name, { lease: () => clone, address: () => undefined }) as Container
    },
    remove,
    [Symbol.asyncDispose]: remove,
  }
}

/** Throws ERR_MAYFLY_UNSUPPORTED for what cannot be told to another process. */
function plain(options: RunOptions): RunOptions {
  const strange = Object.entries(options).find(([, value]) => !isPlain(value))
  if (strange === undefined) return options
  throw shownError('ERR_MAYFLY_UNSUPPORTED', `The option ${strange[0]} cannot be told to the run host, where the containers of the tests run`, {
    hint: 'Without it, what the first container was started with holds; or take openSnapshot() of @mayfly/core for a container of this process.',
  })
}

function isPlain(value: unknown): boolean {
  if (value === null || ['undefined', 'string', 'number', 'boolean'].includes(typeof value)) return true
  if (typeof value !== 'object' || ![Object.prototype, Array.prototype].includes(Object.getPrototypeOf(value) as object)) return false
  return Object.values(value).every(isPlain)
}
