import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, appendFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { registryStorage } from '../images/index.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const ID = 61_000

/** A user of this machine for the time of a test: known only inside a mount namespace of its own. */
export interface User {
  readonly directory: string
  /**
   * Runs a program as the user, in the checkout. Resolves with what it printed and its exit code. `network`: lines of a
   * script, run by root, that set up a network namespace of its own.
   */
  run(words: readonly string[], env?: Readonly<Record<string, string>>, network?: readonly string[]): Promise<{ readonly code: number; readonly output: string }>
  remove(): void
}

/** Why there can be no such user here; nothing when there can. */
export function withoutUser(): string | undefined {
  if (process.geteuid?.() !== 0) return 'only root can become another user'
  const missing = ['newuidmap', 'newgidmap', 'setpriv', 'unshare'].filter((name) => !existsSync(join('/usr/bin', name)))
  return missing.length === 0 ? undefined : `this machine lacks ${missing.join(', ')}`
}

/**
 * Makes an ordinary user. `ranges`: with subordinate ids, as `useradd` gives them. The machine's own files stay as they
 * are: copies lie over them in the user's mount namespace, and the checkout and the images where the user may read them.
 * `cgroups`: directories that the user's programs start in. `tun`: with a /dev/net/tun that everybody may open. `id`: not the usual one.
 */
export function makeUser({ ranges, cgroups = [], tun = false, id = ID }: { readonly ranges: boolean, readonly cgroups?: readonly string[], readonly tun?: boolean, readonly id?: number }): User {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-user-'))
  chmodSync(directory, 0o755)
  const at = (name: string): string => join(directory, name)
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
  const script = (network: readonly string[] | undefined): string => [
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
    run: (words, env = {}, network = undefined) => new Promise((resolve, reject) => {
      const child = spawn('unshare', ['--mount', ...network === undefined ? [] : ['--net'], '--propagation', 'private', 'sh', '-c', script(network), 'sh', ...words], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          PATH: process.env['PATH'], LANG: 'C.UTF-8', NO_COLOR: '1', HOME: at('home'), TMPDIR: at('tmp'), USER: 'mayfly-tester',
          MAYFLY_TEST_IMAGES: at('images'), MAYFLY_TEST_CGROUPS: 'none', MAYFLY_TEST_RUN: process.env['MAYFLY_TEST_RUN'], ...env,
        },
      })
      let output = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => { output += text.toString() })
      child.once('error', reject)
      child.once('close', (code) => { resolve({ code: code ?? 1, output }) })
    }),
    remove: () => { rmSync(directory, { recursive: true, force: true }) },
  }
}

export interface Outcome {
  readonly passed: number
  readonly failures: readonly string[]
}

/** Runs test files as the user, and what came of them. Ways out have their own tests. */
export async function testAs(user: User, files: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const report = join(user.directory, 'tmp', 'report.json')
  const { output } = await user.run([
    process.execPath, 'node_modules/vitest/vitest.mjs', 'run', '--pool=forks', '--no-file-parallelism', '--configLoader=runner',
    '--reporter=json', `--outputFile.json=${report}`, ...files,
  ], { MAYFLY_OUTBOUND: 'off', ...env })
  if (!existsSync(report)) throw new Error(`vitest left no report:\n${output}`)
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as {
    testResults: { name: string; message: string; status: string; assertionResults: { status: string; fullName: string; failureMessages: string[] }[] }[]
  }
  const all = testResults.flatMap(({ assertionResults }) => assertionResults)
  return {
    passed: all.filter(({ status }) => status === 'passed').length,
    failures: [
      ...all.filter(({ status }) => status === 'failed').map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages.join('\n')}`),
      ...testResults.filter(({ status, assertionResults }) => status === 'failed' && assertionResults.every((one) => one.status !== 'failed')).map(({ name, message }) => `${name}: ${message}`),
    ],
  }
}

/** A process's children are the kernel's to reap; what the user's id still runs is told. */
export function processesOf(id = ID): string[] {
  try {
    return execFileSync('pgrep', ['-a', '-u', String(id)], { encoding: 'utf8' }).trim().split('\n').filter((line) => !line.endsWith('<defunct>'))
  } catch {
    return []
  }
}
