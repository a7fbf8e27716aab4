// As root in a mount namespace of its own: hides the machine's accounts behind copies, then runs a command as the user.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const [setting, ...words] = process.argv.slice(2)
const { directory, root, uid, ranges, cgroups, namespaces, node } = JSON.parse(setting)
const mount = (...args) => execFileSync('mount', args)
const mnt = join(directory, 'mnt')

mkdirSync(mnt, { recursive: true })
mount('-t', 'tmpfs', '-o', 'mode=755,size=1m', 'tmpfs', mnt)
for (const [file, line] of [
  ['passwd', `mayfly-test:x:${uid}:${uid}::${join(directory, 'home')}:/bin/sh`], ['group', `mayfly-test:x:${uid}:`],
  ['subuid', ranges ? 'mayfly-test:1000000:65536' : ''], ['subgid', ranges ? 'mayfly-test:1000000:65536' : ''],
]) {
  const old = read(`/etc/${file}`)
  writeFileSync(join(mnt, file), /^sub/.test(file) ? `${line}\n` : `${old}${line}\n`, { mode: 0o644 })
  // A machine without the package has no such file; one that is missing lends nothing.
  if (old !== undefined) mount('--bind', join(mnt, file), `/etc/${file}`)
}
// The repository and Node may lie where this user may not go.
mkdirSync(join(mnt, 'repository'))
mount('--bind', root, join(mnt, 'repository'))
writeFileSync(join(mnt, 'node'), '')
mount('--bind', node, join(mnt, 'node'))
for (const cgroup of cgroups) writeFileSync(join(cgroup, 'cgroup.procs'), String(process.pid))

process.chdir(join(mnt, 'repository'))
const become = ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups', '--pdeathsig', 'KILL', '--', ...words]
// The limit belongs to a user namespace, so one around the test has its own.
const forbid = ['unshare', '--user', '--map-users', '0,0,4294967295', '--map-groups', '0,0,4294967295', 'sh', '-c', 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', 'sh']
const [command, ...args] = namespaces ? become : [...forbid, ...become]
const { status, signal, error } = spawnSync(command, args, { stdio: 'inherit' })
if (error !== undefined) process.stderr.write(`${command}: ${error.message}\n`)
process.exit(status ?? (signal === null ? 1 : 128))

function read(path) {
  try { return readFileSync(path, 'utf8') } catch { return undefined }
}
