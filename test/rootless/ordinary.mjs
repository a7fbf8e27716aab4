// An ordinary user of this machine for the time of a test or a benchmark.
import { appendFileSync, chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { registryStorage } from '../images/index.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const ID = 61_000

/** Why there can be no such user here; nothing when there can. @returns {string | undefined} */
export function withoutUser() {
  if (process.geteuid?.() !== 0) return 'only root can become another user'
  const missing = ['newuidmap', 'newgidmap', 'setpriv', 'unshare'].filter((name) => !existsSync(join('/usr/bin', name)))
  return missing.length === 0 ? undefined : `this machine lacks ${missing.join(', ')}`
}

/**
 * Makes the user, known only inside a mount namespace of its own. `ranges`: with subordinate ids, as `useradd` gives them. The
 * machine's own files stay as they are: copies lie over them in that namespace, and the checkout and the images where the user may
 * read them. `cgroups`: directories that the user's programs start in. `tun`: with a /dev/net/tun that everybody may open. `id`:
 * not the usual one.
 * @param {{ ranges: boolean, cgroups?: readonly string[], tun?: boolean, id?: number }} options
 */
export function makeOrdinary({ ranges, cgroups = [], tun = false, id = ID }) {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-user-'))
  chmodSync(directory, 0o755)
  /** @param {string} name */
  const at = (name) => join(directory, name)
  for (const name of ['passwd', 'group']) copyFileSync(`/etc/${name}`, at(name))
  appendFileSync(at('passwd'), `mayfly-tester:x:${id}:${id}::${at('home')}:/bin/sh\n`)
  appendFileSync(at('group'), `mayfly-tester:x:${id}:\n`)
  for (const name of ['subuid', 'subgid']) writeFileSync(at(name), ranges ? `mayfly-tester:200000:65536\n` : '')
  for (const name of ['home', 'tmp', 'cache', 'temp']) {
    mkdirSync(at(name), { mode: 0o700 })
    chownSync(at(name), id, id)
  }
  for (const name of ['work', 'images']) mkdirSync(at(name))
  // Where vitest writes inside the checkout.
  for (const name of ['.vite', '.vite-temp']) mkdirSync(join(root, 'node_modules', name), { recursive: true })
  const mounts = [
    ...['passwd', 'group', 'subuid', 'subgid'].map((name) => [at(name), `/etc/${name}`]),
    [root, at('work')], [dirname(registryStorage()), at('images')],
    [at('cache'), join(at('work'), 'node_modules/.vite')], [at('temp'), join(at('work'), 'node_modules/.vite-temp')],
  ]
  /** @param {readonly string[] | undefined} network */
  const script = (network) => [
    'set -e',
    ...['subuid', 'subgid'].map((name) => `[ -e /etc/${name} ] || : > /etc/${name}`),
    ...mounts.map(([from = '', to = '']) => `mount --bind '${from}' '${to}'`),
    ...tun ? [`[ -e '${at('tun')}' ] || mknod -m 666 '${at('tun')}' c 10 200`, `mount --bind '${at('tun')}' /dev/net/tun`] : [],
    `cd '${at('work')}'`,
    ...cgroups.map((cgroup) => `echo $$ > '${cgroup}/cgroup.procs'`),
    ...network === undefined ? [] : [`node='${process.execPath}'`, ...network],
    // What such a network's script started ends with the shell.
    `${network === undefined ? 'exec ' : ''}setpriv --reuid ${id} --regid ${id} --init-groups --inh-caps=-all "$@"`,
  ].join('\n')
  return {
    directory,
    /**
     * What runs a program as the user, in the checkout. `network`: lines of a script, run by root, that set up a network namespace of its own.
     * @param {readonly string[]} words @param {Readonly<Record<string, string>>} env @param {readonly string[]} [network]
     */
    command: (words, env = {}, network = undefined) => ({
      program: 'unshare',
      words: ['--mount', ...network === undefined ? [] : ['--net'], '--propagation', 'private', 'sh', '-c', script(network), 'sh', ...words],
      env: {
        PATH: process.env['PATH'], LANG: 'C.UTF-8', NO_COLOR: '1', HOME: at('home'), TMPDIR: at('tmp'), USER: 'mayfly-tester',
        MAYFLY_TEST_IMAGES: at('images'), MAYFLY_TEST_CGROUPS: 'none', MAYFLY_TEST_RUN: process.env['MAYFLY_TEST_RUN'], ...env,
      },
    }),
    remove: () => { rmSync(directory, { recursive: true, force: true }) },
  }
}
