import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Runs `work` while holding a lock file that names its owner: pid and the kernel's start time of that pid, so that
 * a dead owner's lock, also one whose pid was given to somebody else, is taken over.
 * @template T
 * @param {string} path @param {() => Promise<T>} work @param {() => void} [waiting]  called once when it must wait
 * @returns {Promise<T>}
 */
export async function withLock(path, work, waiting = () => {}) {
  mkdirSync(dirname(path), { recursive: true })
  const me = `${process.pid} ${startTime(process.pid)}`
  const own = `${path}.${process.pid}`
  for (let told = false; ; ) {
    // link is atomic and brings the content along: nobody ever sees an empty lock.
    writeFileSync(own, me)
    try {
      linkSync(own, path)
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    } finally {
      rmSync(own, { force: true })
    }
    if (takeFromDead(path)) continue
    if (!told) waiting()
    told = true
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const release = () => { if (read(path) === me) rmSync(path, { force: true }) }
  process.once('exit', release)
  try {
    return await work()
  } finally {
    process.off('exit', release)
    release()
  }
}

function takeFromDead(path) {
  const owner = read(path)
  if (owner === undefined) return true
  const [pid, started] = owner.split(' ')
  if (startTime(Number(pid)) === started) return false
  // Renamed first: of two that see the same dead owner, one wins, and a lock made meanwhile is put back.
  const aside = `${path}.dead.${process.pid}`
  try {
    renameSync(path, aside)
    if (read(aside) !== owner) linkSync(aside, path)
  } catch {
    // Another process was faster.
  }
  rmSync(aside, { force: true })
  return true
}

function startTime(pid) {
  const stat = read(`/proc/${pid}/stat`)
  return stat === undefined ? 'gone' : stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
}

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
