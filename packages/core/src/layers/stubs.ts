/**
 * What every container is given below its mounts and is no change of its own: files with its names, and the mount points
 * that an image may lack.
 */
export const STUBS: readonly string[] = ['dev', 'etc/hosts', 'etc/hostname', 'etc/resolv.conf', 'proc', 'sys']
