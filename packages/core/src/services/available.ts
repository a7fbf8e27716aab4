import { currentRun, endRun } from '../container/supervision.js'
import type { HostOptions } from './host.js'
import { launchRun, reasonToSkip, type LaunchedRun } from './launch.js'

/**
 * Starts the run host. Where this machine cannot run containers it throws the error that says why, unless
 * MAYFLY_UNAVAILABLE=skip: then tests that want a container are skipped, which is told on standard error.
 */
export async function launchOrSkip(options: HostOptions, environment: NodeJS.ProcessEnv = process.env): Promise<LaunchedRun> {
  try {
    // Without services in a configuration the machine would be tried by the first test only.
    if (environment['MAYFLY_UNAVAILABLE'] === 'skip') await currentRun().finally(endRun)
    return await launchRun(options)
  } catch (error) {
    const reason = reasonToSkip(error, environment)
    process.stderr.write(`mayfly: no containers here, and tests that want one are skipped (MAYFLY_UNAVAILABLE=skip): ${reason}\n`)
    return { address: { socket: '', token: '', addresses: {}, unavailable: reason }, reload: () => Promise.resolve(), close: () => Promise.resolve(undefined) }
  }
}
