import { openOutbound } from '../container/outbound.js'
import { currentRun } from '../container/supervision.js'
import type { RunOptions } from '../container/types.js'
import type { Build } from './builder.js'

/**
 * The network of a RUN: a container's own with a way out; the host's where this machine gives containers none, or none at
 * all for an ordinary user, to whom the host's is not given. It is said once.
 */
export async function runNetwork(build: Build, wanted: 'default' | 'none' | 'host'): Promise<Pick<RunOptions, 'network'>> {
  if (wanted !== 'default') return { network: wanted }
  const run = await currentRun()
  const way = await openOutbound(run)
  if (!('why' in way)) return {}
  const mayHaveHost = run.map === undefined
  const what = mayHaveHost ? 'has the host\'s network' : way.way === 'proxy' ? 'gets out by HTTP_PROXY alone' : 'has no way out'
  if (!told.has(build)) build.progress.warn(`RUN ${what}: ${way.why}. ${way.mend}`)
  told.add(build)
  return mayHaveHost ? { network: 'host' } : {}
}

const told = new WeakSet<Build>()
