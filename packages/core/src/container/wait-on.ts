import waitOnPackage from 'wait-on'

import { MayflyError, messageOf } from '../errors.js'
import type { WaitContext, WaitOnOptions } from './types.js'

/** One call's time, in milliseconds: a call cannot be taken back, so that none outlives its wait for long. */
const ROUND = 1000
const STEP = 20

/** Waits as the package wait-on does, until the wait is over. Throws ERR_MAYFLY_ABORTED, and ERR_MAYFLY_OPTION_INVALID for what is no resource. */
export async function waitOn(resources: readonly string[], { window = 0, reverse = false, strictSSL = false, headers }: WaitOnOptions, { signal, saw }: WaitContext): Promise<void> {
  while (!signal.aborted) {
    const began = Date.now()
    try {
      await waitOnPackage({ resources: [...resources], window, reverse, strictSSL, interval: STEP, timeout: ROUND + window, proxy: false, ...(headers === undefined ? {} : { headers: { ...headers } }) })
      return
    } catch (error) {
      const message = messageOf(error)
      if (Date.now() - began < ROUND && !/timed? ?out/i.test(message)) {
        throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `wait-on cannot wait for ${resources.join(', ')}: ${message}`, { cause: error, hint: 'Resources are tcp:host:port, http-get://…, https-get://…, socket:/path or file:/path.' })
      }
      saw(message)
    }
  }
  throw new MayflyError('ERR_MAYFLY_ABORTED', 'The wait was given up')
}
