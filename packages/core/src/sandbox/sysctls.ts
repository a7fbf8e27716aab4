import { invalid } from './invalid.js'

/** The path below /proc/sys of a sysctl that belongs to the container's own namespaces, as Docker allows. */
export function sysctlPath(name: string, value: string): string {
  const path = name.replaceAll('.', '/')
  const known = /^(?:net\/[\w/-]+|fs\/mqueue\/\w+|kernel\/(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced|domainname))$/
  if (!known.test(path) || path.includes('//')) {
    throw invalid('sysctl', name, 'it does not belong to a container', 'Allowed are net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm* and kernel.domainname.')
  }
  if (typeof value !== 'string' || /[\0\n]/.test(value)) throw invalid(`sysctl ${name}`, value, 'a value is one line of text')
  return path
}
