import type { Container, Fault, Listening, PartitionOptions, Reached } from '@mayfly/core/worker'
import { currentSession } from './hooks.js'

/** What a test may do to what lies between it and its containers. */
export const hooks = {
  /**
   * Lets containers reach a server of the test's own, as `http://host.mayfly.internal:PORT`, until it is closed or the test
   * is over; outside of tests, until the file is. Throws ERR_MAYFLY_OPTION_INVALID for a server that does not listen.
   */
  reach: (server: Listening): Promise<Reached> => currentSession().reach(server),
  /** Nothing passes between two containers, or in one direction as the first sees it, until it is cleared, or the test is over. */
  partition: (one: Pick<Container, 'faults'>, other: Pick<Container, 'id'>, { direction }: PartitionOptions = {}): Promise<Fault> =>
    one.faults.timeout({ peer: { id: other.id }, direction }),
}
