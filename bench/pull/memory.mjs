import { readFileSync, readdirSync } from 'node:fs'

/** MB of a process and all below it, shared pages counted once. */
export function memoryOf(pid) {
  let kib = 0
  for (const one of familyOf(pid)) {
    try {
      kib += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${one}/smaps_rollup`, 'utf8'))?.[1] ?? 0)
    } catch {
      // Gone meanwhile.
    }
  }
  return kib * 1024 / 1e6
}

/** The most that processes take until `work` is done; looked at all the time, so it is not for timing. */
export async function peakDuring(pids, work) {
  let peak = 0
  const look = setInterval(() => { peak = Math.max(peak, pids.reduce((sum, pid) => sum + memoryOf(pid), 0)) }, 15)
  try {
    await work()
  } finally {
    clearInterval(look)
  }
  return peak
}

function familyOf(root) {
  const children = new Map()
  for (const name of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    try {
      const parent = Number(readFileSync(`/proc/${name}/stat`, 'utf8').replace(/.*\) \S /s, '').split(' ')[0])
      children.set(parent, [...children.get(parent) ?? [], Number(name)])
    } catch {
      // Gone meanwhile.
    }
  }
  const all = [root]
  for (const one of all) all.push(...children.get(one) ?? [])
  return all
}
