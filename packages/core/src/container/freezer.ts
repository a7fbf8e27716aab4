import { setTimeout as pause } from 'node:timers/promises'

import { MayflyError } from '../errors.js'
import { METHOD, Reader, type Connection } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import type { Features } from '../sandbox/index.js'

const PATIENCE = 5000

/** Whether a container stands still. */
export async function isFrozen(connection: Connection, features: Features, container: string): Promise<boolean> {
  const [controller, file, still] = features.get('cgroup') === 'v2' ? ['', 'cgroup.freeze', /^1/] as const : ['freezer', 'freezer.state', /^FR/] as const
  const reply = await connection.request(METHOD.cgroupRead, new Writer().str(container).str(controller).str(file).take()).catch(() => undefined)
  return reply !== undefined && still.test(new Reader(reply).str())
}

/**
 * Stops all of a container's processes where they are, or lets them go on. Resolves when that is so.
 * Throws ERR_MAYFLY_LIMIT_UNSUPPORTED where there is no freezer, ERR_MAYFLY_TIMEOUT when a process will not freeze.
 */
export async function freeze(connection: Connection, features: Features, container: string, frozen: boolean): Promise<void> {
  const v2 = features.get('cgroup') === 'v2'
  if (!v2 && features.get('controllers')?.split(',').includes('freezer') !== true) {
    throw new MayflyError('ERR_MAYFLY_LIMIT_UNSUPPORTED', 'This machine gives Mayfly no freezer for its containers', {
      hint: '`mayfly doctor` says what is missing.',
    })
  }
  const [controller, file, value] = v2 ? ['', 'cgroup.freeze', frozen ? '1' : '0'] : ['freezer', 'freezer.state', frozen ? 'FROZEN' : 'THAWED']
  await connection.request(METHOD.cgroupWrite, new Writer().str(container).str(controller).str(file).str(value).take())
  const [state, wanted] = v2 ? ['cgroup.events', new RegExp(`^frozen ${frozen ? 1 : 0}$`, 'm')] : ['freezer.state', new RegExp(`^${value}$`, 'm')]
  const deadline = Date.now() + PATIENCE
  for (;;) {
    const reply = await connection.request(METHOD.cgroupRead, new Writer().str(container).str(controller).str(state).take())
    if (wanted.test(new Reader(reply).str())) return
    if (Date.now() > deadline) {
      throw new MayflyError('ERR_MAYFLY_TIMEOUT', `The container did not ${frozen ? 'freeze' : 'thaw'} within ${PATIENCE} ms`)
    }
    await pause(1)
  }
}
