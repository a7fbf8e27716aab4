import { currentRun, endRun } from '../container/supervision.js'
import { MayflyError, type ErrorCode } from '../errors.js'
import type { HostOptions } from './host.js'
import { launchRun, type LaunchedRun } from './launch.js'

/** What an unsupported machine says. */
const UNAVAILABLE: readonly ErrorCode[] = ['ERR_MAYFLY_NOT_LINUX', 'ERR_MAYFLY_NATIVE_MISSING', 'ERR_MAYFLY_NATIVE_FAILED', 'ERR_MAYFLY_UNPRIVILEGED', 'ERR_MAYFLY_UNSUPPORTED']

/**
 * Starts the run host. On a machine that cannot run containers it throws the error that says why, unless
 * MAYFLY_UNAVAILABLE=skip: then tests that want a container are skipped, which is told on standard error. Where CI is set
 * that is refused: nobody would notice.
 */
export async function launchOrSkip(options: HostOptions, environment: NodeJS.ProcessEnv = process.env): Promise<LaunchedRun> {
  const skips = environment['MAYFLY_UNAVAILABLE'] === 'skip'
  try {
    // Without services in a configuration the machine would be tried by the first test only.
    if (skips) await currentRun().finally(endRun)
    return await launchRun(options)
  } catch (error) {
    const { code, message } = error as MayflyError
    if (!skips || !UNAVAILABLE.includes(code)) throw error
    if (environment['CI']) {
      throw new MayflyError(code, `${message}\nMAYFLY_UNAVAILABLE=skip is refused where CI is set: tests would be missing unnoticed.`, { cause: error })
    }
    process.stderr.write(`mayfly: no containers here, and tests that want one are skipped (MAYFLY_UNAVAILABLE=skip): ${message}\n`)
    return { address: { socket: '', token: '', addresses: {}, unavailable: message }, close: () => Promise.resolve(undefined as never) }
  }
}
