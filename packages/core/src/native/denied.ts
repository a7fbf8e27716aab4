import { readFileSync } from 'node:fs'

import { MayflyError } from '../errors.js'

/**
 * The error of a native command that the machine refused its namespaces; `undefined` when its trouble is another.
 * @param what  what was being done
 * @param trouble  what the native program said on standard error
 */
export function denied(what: string, trouble: string, cause?: unknown): MayflyError | undefined {
  const exhausted = /(?:clone3|userns) .*: (?:ENOSPC|EUSERS)/.test(trouble)
  if (!exhausted && !/: (?:EPERM|EACCES)/.test(trouble)) return undefined
  return new MayflyError('ERR_MAYFLY_UNPRIVILEGED', `${what}: ${trouble}`, { cause, hint: hintFor(exhausted) })
}

function hintFor(exhausted: boolean): string {
  if (process.geteuid?.() === 0 && !exhausted) {
    return 'Run as root of the machine; inside a container, start that with --privileged, or allow it CAP_SYS_ADMIN and the clone3 and mount system calls.'
  }
  const settings: readonly (readonly [string, RegExp, string])[] = [
    ['user/max_user_namespaces', /^0$/, 'sysctl user.max_user_namespaces=15000'],
    ['kernel/unprivileged_userns_clone', /^0$/, 'sysctl kernel.unprivileged_userns_clone=1'],
    ['kernel/apparmor_restrict_unprivileged_userns', /^1$/, 'sysctl kernel.apparmor_restrict_unprivileged_userns=0'],
  ]
  const mends = settings.filter(([name, closed]) => closed.test(read(`/proc/sys/${name}`))).map(([, , mend]) => mend)
  const how = mends.length > 0 ? `as root, "${mends.join('" and "')}"`
    : exhausted ? 'as root, raise user.max_user_namespaces' : 'inside a container, its seccomp profile must allow clone3, unshare and mount'
  return `This machine does not give user namespaces to this user: ${how}; or run as root.`
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}
