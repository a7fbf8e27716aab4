// What a run of ours can leave on a machine, and whether it did.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** @typedef {Map<string, { mark: boolean }>} Traces  what there is, and whether it is surely of this run */

/** @param {string} mark  NAME=value in the environment of everything the run starts */
export function traces(mark) {
  const found = new Map()
  const add = (text, ours = false) => found.set(text, { mark: ours })
  for (const { pid, name, ours } of processes(mark)) add(`process ${pid} (${name})`, ours)
  for (const line of read('/proc/self/mounts').split('\n')) {
    const target = line.split(' ')[1] ?? ''
    if (/mayfly/i.test(line)) add(`mount ${target}`)
  }
  for (const path of cgroups('/sys/fs/cgroup', 0)) add(`cgroup ${path}`)
  for (const name of list('/sys/class/net')) if (/^(mf|mayfly)/.test(name)) add(`interface ${name}`)
  for (const socket of listeners()) add(`listener ${socket}`)
  const runtime = process.env.XDG_RUNTIME_DIR
  for (const place of [tmpdir(), ...(runtime ? [runtime] : [])]) {
    for (const name of list(place)) if (/^mayfly-(run|registry|test)-/.test(name)) add(`directory ${join(place, name)}`)
  }
  return found
}

/**
 * What is there now and was not there before. While somebody else's run is going on, only what is surely of this one counts.
 * @param {Traces} before @param {string} mark @param {{ patience?: number }} [options] patience in ms
 * @returns {Promise<string[]>}
 */
export async function leaks(before, mark, { patience = 5000 } = {}) {
  const deadline = Date.now() + patience
  for (;;) {
    const now = traces(mark)
    // Another's run at the same time: what has no owner could be its own.
    const foreign = processes(mark).some((one) => !one.ours && !one.orphan)
    const left = [...now].filter(([text, { mark: ours }]) => !before.has(text) && (ours || !foreign)).map(([text]) => text)
    if (left.length === 0 || Date.now() > deadline) return left
    await sleep(100)
  }
}

function processes(mark) {
  const found = []
  for (const pid of list('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const name = read(`/proc/${pid}/comm`).trim()
    const status = read(`/proc/${pid}/status`)
    if (/^State:\s+Z/m.test(status) || Number(pid) === process.pid) continue
    const ours = carries(pid, mark)
    const orphan = parent(pid) === '1'
    if (name.startsWith('mayfly-native') || name === 'docker-registry' || ours) found.push({ pid, name, ours, orphan })
  }
  return found
}

/** Itself or one it descends from: some are given an environment of their own. */
function carries(pid, mark) {
  for (let at = pid; at !== undefined && at !== '0' && at !== '1'; at = parent(at)) {
    if (read(`/proc/${at}/environ`).split('\0').includes(mark)) return true
  }
  return false
}

function parent(pid) {
  return /^PPid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1]
}

function cgroups(path, depth) {
  const found = []
  for (const name of list(path)) {
    if (name.includes('.') || !existsSync(join(path, name, 'cgroup.procs'))) {
      if (depth === 0 && !name.includes('.')) found.push(...cgroups(join(path, name), 1))
      continue
    }
    if (/^mayfly./.test(name)) found.push(join(path, name))
    else if (/^mayfly$/.test(name)) found.push(...list(join(path, name)).filter((one) => existsSync(join(path, name, one, 'cgroup.procs'))).map((one) => join(path, name, one)))
    else if (depth < 2) found.push(...cgroups(join(path, name), depth + 1))
  }
  return found
}

function listeners() {
  return read('/proc/net/unix').split('\n').map((line) => line.split(/\s+/)[7] ?? '').filter((path) => /mayfly/.test(path) && path !== '')
}

function list(path) {
  try { return readdirSync(path) } catch { return [] }
}

function read(path) {
  try { return readFileSync(path, 'utf8') } catch { return '' }
}
