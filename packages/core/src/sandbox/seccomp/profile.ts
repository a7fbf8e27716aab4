import { constants, release } from 'node:os'

import { MayflyError } from '../../errors.js'
import { hasCapability, isCapability } from '../capabilities.js'
import type { Abi } from './abi.js'
import type { Condition, Rule, Section, Verdict } from './assemble.js'

/** A profile in Docker's JSON form (the seccomp part of the OCI runtime specification, and Docker's additions). */
export interface SeccompProfile {
  readonly defaultAction: string
  readonly defaultErrnoRet?: number | undefined
  readonly architectures?: readonly string[] | undefined
  readonly archMap?: readonly { readonly architecture: string; readonly subArchitectures?: readonly string[] | null }[] | undefined
  readonly syscalls?: readonly SeccompRule[] | null | undefined
}

export interface SeccompRule {
  readonly name?: string | undefined
  readonly names?: readonly string[] | undefined
  readonly action: string
  readonly errnoRet?: number | null | undefined
  readonly args?: readonly SeccompArgument[] | null | undefined
  readonly includes?: SeccompFilter | undefined
  readonly excludes?: SeccompFilter | undefined
}

export interface SeccompArgument {
  readonly index: number
  readonly value: number
  readonly valueTwo?: number | undefined
  readonly op: string
}

export interface SeccompFilter {
  readonly caps?: readonly string[] | null | undefined
  readonly arches?: readonly string[] | null | undefined
  readonly minKernel?: string | undefined
}

const ACTIONS: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: 0, SCMP_ACT_KILL_THREAD: 0, SCMP_ACT_KILL_PROCESS: 0x80000000, SCMP_ACT_TRAP: 0x30000,
  SCMP_ACT_ERRNO: 0x50000, SCMP_ACT_TRACE: 0x7ff00000, SCMP_ACT_LOG: 0x7ffc0000, SCMP_ACT_ALLOW: 0x7fff0000,
}
const COMPARISONS = ['NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ'] as const
/** Go's words for processors, which Docker's filters use. */
const ARCHES: Readonly<Record<string, readonly string[]>> = {
  SCMP_ARCH_X86_64: ['amd64'], SCMP_ARCH_AARCH64: ['arm64'],
}
const LARGEST_ERRNO = 4095

/**
 * The sections of a profile, with libseccomp's meaning: several entries for a call are alternatives, an entry without
 * conditions wins over those with. Throws ERR_MAYFLY_OPTION_INVALID with the place of what is wrong.
 */
export function profileSections(abis: readonly Abi[], capabilities: bigint, profile: SeccompProfile): Section[] {
  const [native] = abis
  const otherwise = actionOf(profile.defaultAction, profile.defaultErrnoRet, 'defaultAction')
  const entries = (profile.syscalls ?? []).map((entry, index) => compileEntry(entry, `syscalls[${index}]`))
    .filter(({ entry, where }) => native !== undefined && applies(entry, native, capabilities, where))
  const unknown: Verdict = { rules: [], otherwise }
  return abis.filter((abi) => abi === native || covers(profile, native, abi)).map((abi) => {
    const conditional = new Map<number, Rule[]>()
    const plain = new Map<number, number>()
    for (const { names, rules } of entries) {
      for (const name of names) {
        const number = abi.numbers.get(name)
        // Profiles name calls of every processor and kernel; those of others mean nothing here.
        if (number === undefined) continue
        for (const rule of rules) {
          if (rule.conditions.length === 0) plain.set(number, rule.action)
          else conditional.set(number, [...conditional.get(number) ?? [], rule])
        }
      }
    }
    const numbers = new Set([...conditional.keys(), ...plain.keys()])
    return {
      abi, unknown, verdicts: new Map([...numbers].map((number): [number, Verdict] => {
        const action = plain.get(number)
        return [number, action === undefined ? { rules: conditional.get(number) ?? [], otherwise } : { rules: [], otherwise: action }]
      })),
    }
  })
}

function compileEntry(entry: SeccompRule, where: string): { entry: SeccompRule; where: string; names: readonly string[]; rules: Rule[] } {
  const names = entry.names ?? (entry.name === undefined ? [] : [entry.name])
  if (names.length === 0) throw invalid(where, 'it names no system call')
  const action = actionOf(entry.action, entry.errnoRet, `${where}.action`)
  const conditions = (entry.args ?? []).map((one, index) => conditionOf(one, `${where}.args[${index}]`))
  // As runc does: conditions on one argument are alternatives, on different ones they all must hold.
  const once = new Set(conditions.map(({ argument }) => argument)).size === conditions.length
  const rules = once ? [{ conditions, action }] : conditions.map((condition) => ({ conditions: [condition], action }))
  return { entry, where, names, rules }
}

function conditionOf({ index, value, valueTwo = 0, op }: SeccompArgument, where: string): Condition {
  const compare = COMPARISONS.find((one) => op === `SCMP_CMP_${one}`)
  if (compare === undefined) throw invalid(where, `unknown op ${JSON.stringify(op)}`)
  if (!Number.isInteger(index) || index < 0 || index > 5) throw invalid(where, 'index is not 0 to 5')
  for (const one of [value, valueTwo]) if (!Number.isInteger(one) || one < 0) throw invalid(where, 'a value is no unsigned number')
  return compare === 'MASKED_EQ' ? { argument: index, compare, value: BigInt(valueTwo), mask: BigInt(value) }
    : { argument: index, compare, value: BigInt(value) }
}

function actionOf(action: string, errnoRet: number | null | undefined, where: string): number {
  const base = ACTIONS[action]
  if (base === undefined) throw invalid(where, `unknown action ${JSON.stringify(action)}`)
  if (action !== 'SCMP_ACT_ERRNO' && action !== 'SCMP_ACT_TRACE') return base
  const errno = errnoRet ?? constants.errno.EPERM
  if (!Number.isInteger(errno) || errno < 0 || errno > LARGEST_ERRNO) throw invalid(where, `errnoRet ${errno} is no error number`)
  return base | errno
}

function covers({ architectures, archMap }: SeccompProfile, native: Abi | undefined, abi: Abi): boolean {
  const mapped = archMap?.find(({ architecture }) => architecture === native?.name)?.subArchitectures ?? []
  return mapped.includes(abi.name) || architectures?.includes(abi.name) === true
}

function applies({ includes = {}, excludes = {} }: SeccompRule, native: Abi, capabilities: bigint, where: string): boolean {
  const has = (name: string): boolean => {
    const bare = name.replace(/^CAP_/, '')
    // One the kernel learned after us is not given to anybody.
    return isCapability(bare) && hasCapability(capabilities, bare)
  }
  const here = (arch: string): boolean => ARCHES[native.name]?.includes(arch) === true
  const newEnough = (wanted: string | undefined): boolean => wanted === undefined || wanted === '' || atLeast(wanted, where)
  return (includes.caps ?? []).every(has) && ((includes.arches?.length ?? 0) === 0 || includes.arches?.some(here) === true)
    && newEnough(includes.minKernel)
    && !(excludes.caps ?? []).some(has) && excludes.arches?.some(here) !== true
    && (excludes.minKernel === undefined || excludes.minKernel === '' || !atLeast(excludes.minKernel, where))
}

function atLeast(wanted: string, where: string): boolean {
  const match = /^(\d+)\.(\d+)$/.exec(wanted)
  if (match === null) throw invalid(where, `minKernel ${JSON.stringify(wanted)} is not of the form MAJOR.MINOR`)
  const [major = 0, minor = 0] = release().split('.').map(Number)
  return major > Number(match[1]) || major === Number(match[1]) && minor >= Number(match[2])
}

function invalid(where: string, why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid seccomp profile: ${where}: ${why}`, {
    hint: 'Give \'unconfined\', or a profile in Docker\'s JSON form as a path or an object.',
  })
}
