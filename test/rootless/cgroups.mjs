// Groups of cgroup v1 that root hands to an ordinary user, as an administrator would.
import { chownSync, existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const mount = '/sys/fs/cgroup'

/**
 * @param {number} uid
 * @returns {{ directories: string[], close: () => Promise<void> }}  no directories where there is only cgroup v2
 */
export function delegateCgroups(uid) {
  const directories = readFileSync('/proc/self/cgroup', 'utf8').trim().split('\n').flatMap((line) => {
    const [, controllers = '', path = '/'] = line.split(':')
    const hierarchy = join(mount, controllers)
    if (controllers === '' || controllers.includes('=') || !existsSync(join(hierarchy, 'cgroup.procs'))) return []
    // In a container the path may lie above what is mounted.
    const parent = existsSync(join(hierarchy, path)) ? join(hierarchy, path) : hierarchy
    return [delegate(parent, uid)]
  })
  return { directories, close: () => remove(directories) }
}

function delegate(parent, uid) {
  const directory = join(parent, `mf-delegated-${process.pid}`)
  mkdirSync(directory)
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    if (existsSync(join(directory, file))) writeFileSync(join(directory, file), readFileSync(join(parent, file)))
  }
  for (const file of ['', 'cgroup.procs', 'tasks']) chownSync(join(directory, file), uid, uid)
  return directory
}

/** A group is busy until its last process is reaped. */
async function remove(directories) {
  for (const deadline = Date.now() + 10_000; directories.some(existsSync);) {
    for (const directory of directories) {
      try { removeGroup(directory) } catch (error) {
        if (Date.now() > deadline) throw error
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function removeGroup(directory) {
  if (!existsSync(directory)) return
  for (const entry of readdirSync(directory, { withFileTypes: true })) if (entry.isDirectory()) removeGroup(join(directory, entry.name))
  rmdirSync(directory)
}
