import { MayflyError } from '../../errors.js'
import { abisOf } from './abi.js'
import { assemble } from './assemble.js'
import { dockerSections, EPERM, ERRNO } from './docker.js'
import { profileSections, type SeccompProfile } from './profile.js'

export type { SeccompProfile } from './profile.js'

/** SECCOMP_RET_USER_NOTIF and SECCOMP_RET_ALLOW (linux/seccomp.h). */
const [NOTIFY, ALLOW] = [0x7fc00000, 0x7fff0000]

/**
 * A filter that reports calls of bind() to its listener, and has nothing against any other: it stands beside the
 * container's own. Programs for other interfaces of the processor than its first go unheard.
 */
export function bindNotification(arch: string): Buffer {
  const [abi] = abisOf(arch) ?? []
  if (abi === undefined) throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `There is no system call filter for ${arch}`, { hint: 'Use loopback: true.' })
  const allowed = { rules: [], otherwise: ALLOW }
  const bind = abi.numbers.get('bind') ?? -1
  return assemble([{ abi, verdicts: new Map([[bind, { rules: [], otherwise: NOTIFY }]]), unknown: allowed }], ALLOW)
}

const programs = new Map<string, Buffer>()

/**
 * The filter of a container with these capabilities, by Docker's rules or the caller's profile.
 * Throws ERR_MAYFLY_UNSUPPORTED for a processor without a table, ERR_MAYFLY_OPTION_INVALID for a profile that is none.
 */
export function seccompProgram(arch: string, capabilities: bigint, profile?: SeccompProfile): Buffer {
  const abis = abisOf(arch)
  if (abis === undefined) {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `There is no system call filter for ${arch}`, {
      hint: 'Set `seccomp: \'unconfined\'` to run without one.',
    })
  }
  if (profile !== undefined) return assemble(profileSections(abis, capabilities, profile), ERRNO | EPERM)
  const key = `${arch} ${capabilities}`
  const known = programs.get(key)
  if (known !== undefined) return known
  const program = assemble(dockerSections(abis, capabilities), ERRNO | EPERM)
  programs.set(key, program)
  return program
}
