// An ordinary user made up for a test: its account and its subordinate ids exist in a mount namespace of the test alone.
import { spawn } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const UID = 61_000

/**
 * @typedef {object} User
 * @property {string} directory  of its own, with `home` and `tmp`; deleted by `close`
 * @property {string} repository  where the user finds this repository
 * @property {(words: string[], options?: { ranges?: boolean, env?: Record<string, string | undefined>,
 *   cgroups?: string[], namespaces?: boolean, stdio?: import('node:child_process').StdioOptions }) =>
 *   import('node:child_process').ChildProcess} spawn
 *   ranges: /etc/subuid and /etc/subgid lend 65,536 ids (default true); cgroups: directories of v1 hierarchies that the
 *   process is put into; namespaces: false for a machine that allows no user namespaces
 * @property {() => void} close
 */

/** Needs root. @returns {User} */
export function makeUser() {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-test-user-'))
  chmodSync(directory, 0o755)
  for (const name of ['home', 'tmp']) {
    mkdirSync(join(directory, name), { mode: 0o700 })
    chownSync(join(directory, name), UID, UID)
  }
  const close = () => rmSync(directory, { recursive: true, force: true })
  return { directory, repository: join(directory, 'mnt/repository'), spawn: (words, options = {}) => start(directory, words, options), close }
}

function start(directory, words, { ranges = true, env = {}, cgroups = [], namespaces = true, stdio = ['ignore', 'pipe', 'pipe'] }) {
  const setting = JSON.stringify({ directory, root, uid: UID, ranges, cgroups, namespaces, node: process.execPath })
  return spawn('setpriv', [
    '--pdeathsig', 'KILL', '--', 'unshare', '--mount', '--propagation', 'private', process.execPath, join(root, 'test/rootless/become.mjs'), setting, ...words,
  ], { stdio, env: { ...userEnvironment(directory), ...env } })
}

function userEnvironment(directory) {
  const kept = ['MAYFLY_TEST_RUN', 'CI', 'LANG'].flatMap((name) => process.env[name] === undefined ? [] : [[name, process.env[name]]])
  return {
    ...Object.fromEntries(kept),
    PATH: `${join(directory, 'mnt')}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin`,
    HOME: join(directory, 'home'),
    TMPDIR: join(directory, 'tmp'),
    MAYFLY_HOME: join(directory, 'home/store'),
    NO_COLOR: '1',
  }
}
