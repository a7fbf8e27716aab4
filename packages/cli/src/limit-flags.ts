import type { LimitOptions } from '@mayfly/core'
import type { Command } from 'commander'

import { decimal, whole } from './action.js'

/** Limits that steps of a build have, too. */
export interface StepLimitFlags {
  readonly cpuPeriod?: number
  readonly cpuQuota?: number
  readonly cpuShares?: number
  readonly cpusetCpus?: string
  readonly cpusetMems?: string
  readonly memory?: string
  readonly memorySwap?: string
}

/** What `run`, `create` and `update` take of limits, in Docker's words. */
export interface LimitFlags extends StepLimitFlags {
  readonly blkioWeight?: number
  readonly cpus?: number
  readonly memoryReservation?: string
  readonly pidsLimit?: number
}

/** Declares those of steps. */
export function addStepLimitFlags(command: Command): Command {
  return command.optionsGroup('Limits:')
    .option('--cpu-period <microseconds>', 'period of the processor limit', whole())
    .option('--cpu-quota <microseconds>', 'processor time in every period', whole(-1))
    .option('-c, --cpu-shares <weight>', 'weight when processors are short', whole())
    .option('--cpuset-cpus <list>', 'processors to run on, such as 0-2,4')
    .option('--cpuset-mems <list>', 'memory nodes to use')
    .option('-m, --memory <size>', 'memory limit')
    .option('--memory-swap <size>', 'memory and swap together; -1 for any swap')
    .optionsGroup('Options:')
}

/** Declares all. */
export function addLimitFlags(command: Command): Command {
  return addStepLimitFlags(command).optionsGroup('Limits:')
    .option('--blkio-weight <number>', 'weight of its disk access, 10 to 1000', whole())
    .option('--cpus <number>', 'number of CPUs', decimal)
    .option('--memory-reservation <size>', 'what it keeps when memory runs short')
    .option('--pids-limit <number>', 'limit of processes; -1 for none', whole(-1))
    .optionsGroup('Options:')
}

/** The options of the library that they ask for; nothing of what was not asked for. */
export function limitOptions(flags: LimitFlags): LimitOptions {
  const { cpuPeriod, cpuQuota, cpuShares, cpus, cpusetCpus, cpusetMems, memory, memoryReservation, memorySwap } = flags
  const all: LimitOptions = {
    cpuPeriod, cpuQuota, cpuShares, cpus, cpusetCpus, cpusetMems, memory, memoryReservation, memorySwap: memorySwap === '-1' ? -1 : memorySwap,
    blkioWeight: flags.blkioWeight === 0 ? undefined : flags.blkioWeight, pids: flags.pidsLimit === 0 ? -1 : flags.pidsLimit,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}
