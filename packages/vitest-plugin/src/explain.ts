import { describeContainers, describeEnded, type EndedContainer, type Lease, type TestContainer } from '@mayfly/core/worker'
import { openedFile } from './file.js'

/** The part of a task's result that is edited. */
export interface TaskResult {
  readonly state: string
  readonly errors?: { message: string }[] | undefined
}

/** Puts what containers said, and which others died meanwhile, into the error of whatever failed while they were held. */
export async function explain(
  result: TaskResult | undefined, leases: Iterable<readonly [string, Lease]>, ended: readonly EndedContainer[] = [], unasked: () => Promise<string> = nothing,
): Promise<void> {
  const error = result?.state === 'fail' ? result.errors?.at(-1) : undefined
  const held = [...leases]
  if (error === undefined) return
  const told = new Set(held.map(([name]) => name))
  error.message += await describeContainers(held) + describeEnded(ended.filter(({ name }) => !told.has(name))) + await unasked()
}

const nothing = (): Promise<string> => Promise.resolve('')

/** Ends what a test had for itself, after its failure has told what it said. */
export async function endTheirs(task: object & { readonly result?: TaskResult | undefined }, members: readonly TestContainer[]): Promise<void> {
  const held = members.flatMap(member => {
    const lease = member.held(task)
    return lease === undefined ? [] : [[String(member.key), lease] as const]
  })
  if (held.length === 0) return
  await explain(task.result, held)
  // Before they are given back: MAYFLY_KEEP has those of failed tests stay.
  if (task.result?.state === 'fail') await openedFile()?.opened?.endTest({ failed: true })
  await Promise.all(members.map(member => member.end(task)))
}
