/** Files with a container's names, which it gets from us and no image may keep. */
export const NAME_FILES: readonly string[] = ['etc/hosts', 'etc/hostname', 'etc/resolv.conf']

/** What every container is given below its mounts and is no change of its own: those, and the mount points that an image may lack. */
export const STUBS: readonly string[] = ['dev', ...NAME_FILES, 'proc', 'sys']
