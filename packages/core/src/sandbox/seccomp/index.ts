import { MayflyError } from '../../errors.js'
import { abisOf } from './abi.js'
import { assemble } from './assemble.js'
import { dockerSections, EPERM, ERRNO } from './docker.js'
import { profileSections, type SeccompProfile } from './profile.js'

export type { SeccompProfile } from './profile.js'

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
