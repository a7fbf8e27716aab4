import { execFileSync } from 'node:child_process'

/** A directory's attributes, as GNU tar sees them. */
export function getfattr(directory: string): string[] {
  const tar = execFileSync('tar', ['--format=posix', '--xattrs', '--xattrs-include=*', '--no-recursion', '-C', directory, '-cf', '-', '.']).toString('latin1')
  return [...tar.matchAll(/SCHILY\.xattr\.([^=]+)=([^\n]*)\n/g)].map(([, name = '', value = '']) => `${name}=${value}`).sort()
}
