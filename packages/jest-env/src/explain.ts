import { describeContainers, describeEnded, type EndedContainer, type Lease } from '@mayfly/core/worker'

/** Puts what the test's containers said, and which others died meanwhile, into its first error. Reporters print the stack: the message is edited in vain. */
export async function explain(errors: readonly unknown[], leases: readonly (readonly [string, Lease])[], ended: readonly EndedContainer[], unasked: () => Promise<string>): Promise<void> {
  const first: unknown = errors[0]
  const candidates: readonly unknown[] = Array.isArray(first) ? first : [first]
  const error = candidates.find((one): one is { stack: string } => typeof (one as { stack?: unknown } | undefined)?.stack === 'string')
  if (error === undefined) return
  const told = new Set(leases.map(([name]) => name))
  const said = await describeContainers(leases) + describeEnded(ended.filter(({ name }) => !told.has(name))) + await unasked()
  const frames = error.stack.search(/\n\s+at /)
  error.stack = frames < 0 ? error.stack + said : error.stack.slice(0, frames) + said + error.stack.slice(frames)
}
