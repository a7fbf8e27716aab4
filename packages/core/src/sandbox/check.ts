import { parseSize } from '../units.js'
import { contradiction, integer, invalid } from './invalid.js'
import { checkNamespaces } from './namespaces.js'
import type { SandboxOptions } from './options.js'

/** Throws ERR_MAYFLY_OPTION_INVALID for values that are wrong by themselves, and for options that contradict each other. */
export function checkOptions(options: SandboxOptions): void {
  checkNamespaces(options)
  const { hostname, domainname, oomScoreAdj, privileged, capAdd, capDrop, seccomp, timeOffsets } = options
  if (hostname !== undefined && !/^[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?$/.test(hostname)) {
    throw invalid('hostname', hostname, 'letters, digits, dots and hyphens, at most 64')
  }
  if (domainname !== undefined && !/^[\w.-]{1,64}$/.test(domainname)) throw invalid('domainname', domainname, 'letters, digits, dots and hyphens, at most 64')
  if (oomScoreAdj !== undefined) integer('oomScoreAdj', oomScoreAdj, -1000, 1000)
  for (const [clock, seconds] of Object.entries(timeOffsets ?? {})) {
    if (clock !== 'monotonic' && clock !== 'boottime') throw invalid('timeOffsets', clock, 'the clocks are "monotonic" and "boottime"')
    if (seconds !== undefined) integer(`timeOffsets.${clock}`, seconds, -(2 ** 31), 2 ** 31)
  }
  if (privileged === true) {
    if (capDrop !== undefined && capDrop.length > 0) throw contradiction('privileged', 'capDrop', 'a privileged container has every capability')
    if (seccomp !== undefined && seccomp !== 'unconfined') throw contradiction('privileged', 'seccomp', 'a privileged container has no filter')
  }
  const bare = (name: string): string => name.toUpperCase().replace(/^CAP_/, '')
  const both = capAdd?.find((name) => bare(name) !== 'ALL' && capDrop?.some((other) => bare(other) === bare(name)))
  if (both !== undefined) throw contradiction(`capAdd ${both}`, 'capDrop of it', 'it would be had and not had')
  checkMemory(options)
}

function checkMemory({ memory, memorySwap, memoryReservation, cpus, cpuQuota, cpuPeriod }: SandboxOptions): void {
  const limit = memory === undefined ? undefined : parseSize(memory)
  if (memorySwap !== undefined && memorySwap !== -1) {
    if (limit === undefined) throw contradiction('memorySwap', 'no memory', 'it is the sum of both')
    if (parseSize(memorySwap) < limit) throw contradiction('memorySwap', 'memory', 'the sum of both is smaller than one')
  }
  if (memoryReservation !== undefined && limit !== undefined && parseSize(memoryReservation) > limit) {
    throw contradiction('memoryReservation', 'memory', 'more is reserved than allowed')
  }
  if (cpus !== undefined && (cpuQuota !== undefined || cpuPeriod !== undefined)) {
    throw contradiction('cpus', 'cpuQuota', 'both say how much time there is')
  }
}
