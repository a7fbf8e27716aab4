import { openOutbound } from '../container/outbound.js'
import { currentRun } from '../container/supervision.js'
import type { RunOptions } from '../container/types.js'
import type { Build } from './builder.js'

/**
 * The network of a RUN: a container's own with a way out; the host's where this machine gives containers none, which is
 * said once.
 */
export async function runNetwork(build: Build, wanted: 'default' | 'none' | 'host'): Promise<Pick<RunOptions, 'network'>> {
  if (wanted !== 'default') return { network: wanted }
  const way = await openOutbound(await currentRun())
  if (way.way === 'host') return {}
  if (!told.has(build)) build.progress.warn(`RUN has the host's network: ${way.why}. ${way.mend}`)
  told.add(build)
  return { network: 'host' }
}

const told = new WeakSet<Build>()
