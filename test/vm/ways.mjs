// The ways in which the tests are run inside the machine: who runs them, and where cgroups come from.
const everything = ['test/runtime']
const cgroups = ['test/runtime/cgroup']

/** What the short form runs of everything. */
export const short = ['test/runtime/cgroup', 'test/runtime/slots']

/** A transient service, as whoever, with the tests' environment. */
const service = (properties, words, env) => [
  'systemd-run', '--quiet', '--wait', '--pipe', '--collect', '--working-directory=/work', ...properties,
  ...Object.entries(env).map(([name, value]) => `--setenv=${name}=${value}`), '--', ...words,
]

/**
 * MAYFLY_TEST_CGROUPS tells the tests what must be found, so that nothing can pass by being skipped.
 * @type {Record<string, { title: string, files: string[], env: Record<string, string>,
 *   command: (words: string[], env: Record<string, string>) => string[] }>}
 */
export const ways = {
  root: { title: 'as root', files: everything, env: { MAYFLY_TEST_CGROUPS: 'root' }, command: (words) => words },
  // A session as sshd or a console makes it: its own cgroup is root's, the user's systemd can be asked for one.
  user: {
    title: 'as an ordinary user', files: everything, env: { MAYFLY_TEST_CGROUPS: 'asked' },
    command: (words, env) => service(['--uid=tester', '--property=PAMName=login'], words, env),
  },
  delegated: {
    title: 'as an ordinary user in a delegated cgroup', files: cgroups, env: { MAYFLY_TEST_CGROUPS: 'delegated' },
    command: (words, env) => service(['--uid=tester', '--property=Delegate=yes'], words, env),
  },
  // The user's systemd outlives a session by some seconds.
  bare: {
    title: 'as an ordinary user without cgroups', files: cgroups, env: { MAYFLY_TEST_CGROUPS: 'none' },
    command: (words, env) => service(['--uid=tester', '--property=InaccessiblePaths=/run/user'], words, env),
  },
  // What a privileged container of a CI agent sees: its own cgroup as the root of all.
  container: {
    title: 'as root in a cgroup namespace', files: cgroups, env: { MAYFLY_TEST_CGROUPS: 'container' },
    command: (words, env) => service(['--property=Delegate=yes'], [
      'unshare', '--cgroup', '--mount', 'sh', '-c', 'umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"', 'sh', ...words,
    ], env),
  },
}
