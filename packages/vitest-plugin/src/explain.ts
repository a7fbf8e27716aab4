import { describeContainers, type Lease } from '@mayfly/core/plugin'

/** The part of a task's result that is edited. */
export interface TaskResult {
  readonly state: string
  readonly errors?: { message: string }[] | undefined
}

/** Puts what containers said into the error of whatever failed while they were held. */
export async function explain(result: TaskResult | undefined, leases: Iterable<readonly [string, Lease]>): Promise<void> {
  const error = result?.state === 'fail' ? result.errors?.at(-1) : undefined
  const held = [...leases]
  if (error !== undefined && held.length > 0) error.message += await describeContainers(held)
}
