import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

import { MayflyError } from '../errors.js'
import { nativeBinary } from './binary.js'
import { conclude, firstObstacle, type Finding } from './diagnosis.js'
import { privilege } from './privilege.js'

/** What this machine lets this user have, found out now. Throws ERR_MAYFLY_NATIVE_MISSING. */
export async function diagnose(): Promise<Finding[]> {
  const program = nativeBinary()
  const { stdout } = await promisify(execFile)(program, ['probe'])
  const own = privilege()
  return conclude(stdout, { program, lacking: own.mode === 'user' ? own.map.lacking : undefined })
}

/** The error for what was refused, with the mend for what stands in the way. */
export async function unprivileged(message: string, cause?: unknown): Promise<MayflyError> {
  const obstacle = await diagnose().then(firstObstacle, () => undefined)
  const hint = obstacle?.mend ?? 'Run as root; inside a container, start that with --privileged.'
  return new MayflyError('ERR_MAYFLY_UNPRIVILEGED', message, { cause, hint, details: obstacle === undefined ? {} : { lacking: obstacle.name } })
}
