// The ways in which the tests are run inside the machine: who runs them, and where cgroups come from.
const everything = ['test/runtime']
const cgroups = ['test/runtime/cgroup']
const environment = (env) => Object.entries(env).map(([name, value]) => `--setenv=${name}=${value}`)

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
    command: (words, env) => ['systemd-run', '--quiet', '--wait', '--pipe', '--collect', '--uid=tester', '--property=PAMName=login', '--working-directory=/work',
      ...environment(env), '--', ...words],
  },
  delegated: {
    title: 'as an ordinary user in a delegated cgroup', files: cgroups, env: { MAYFLY_TEST_CGROUPS: 'delegated' },
    command: (words, env) => ['systemd-run', '--quiet', '--wait', '--pipe', '--collect', '--uid=tester', '--property=Delegate=yes', '--working-directory=/work',
      ...environment(env), '--', ...words],
  },
  bare: {
    title: 'as an ordinary user without cgroups', files: cgroups, env: { MAYFLY_TEST_CGROUPS: 'none' },
    command: (words, env) => ['systemd-run', '--quiet', '--wait', '--pipe', '--collect', '--uid=tester', '--working-directory=/work',
      ...environment(env), '--', ...words],
  },
}
