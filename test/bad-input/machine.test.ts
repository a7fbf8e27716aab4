import { spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { execute, openPlace, type Outcome, type Place } from '../place.js'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const NOBODY = 65_534

let place: Place

beforeAll(async () => {
  place = await openPlace()
})

afterAll(() => place.close())

describe('not Linux', () => {
  const elsewhere = 'data:text/javascript,Object.defineProperty(process, "platform", { value: "darwin" })'
  const hint = 'Run inside a Linux machine, a virtual machine or WSL 2.'

  test('from TypeScript', async () => {
    const home = join(place.directory, 'darwin')
    const env = { ...process.env, MAYFLY_HOME: home }
    const outcome = await execute(process.execPath, ['--import', elsewhere, join(root, 'test/bad-input/attempt.mjs')], env)
    expect(JSON.parse(outcome.stdout)).toEqual({
      code: 'ERR_MAYFLY_NOT_LINUX', message: 'Mayfly runs containers with the Linux kernel; this is darwin', hint,
    })
    expect(existsSync(home)).toBe(false)
  })

  test.each([[['run', 'busybox']], [['pull', 'busybox']], [['doctor']]])('mayfly %j', async (words) => {
    const env = { NODE_OPTIONS: `--import=${encodeURI(elsewhere)}`, MAYFLY_HOME: join(place.directory, 'darwin') }
    expect(await place.mayfly(words, env)).toEqual({
      code: words[0] === 'run' ? 125 : 1, stdout: '',
      stderr: `mayfly: Mayfly runs containers with the Linux kernel; this is darwin (ERR_MAYFLY_NOT_LINUX)\n${hint}\n`,
    })
  })
})

describe('no privileges', () => {
  test('root without capabilities, as in an ordinary container', async () => {
    const outcome = await execute('setpriv', [
      '--bounding-set=-all', '--inh-caps=-all', process.execPath, join(root, 'test/bad-input/attempt.mjs'),
    ], { ...process.env, MAYFLY_HOME: join(place.directory, 'uncapable') })
    expect(JSON.parse(outcome.stdout)).toMatchObject({
      code: 'ERR_MAYFLY_UNPRIVILEGED', hint: expect.stringContaining('--privileged') as string,
    })
  })

  test('an ordinary user where user namespaces are denied', async () => {
    const outcome = await asNobody(['test/bad-input/attempt.mjs'])
    expect(outcome.stderr).toBe('')
    expect(JSON.parse(outcome.stdout)).toMatchObject({
      code: 'ERR_MAYFLY_UNPRIVILEGED',
      hint: expect.stringMatching(/^User namespaces are switched off:\n.*user\.max_user_namespaces=15000/) as string,
    })
  })

  test.each([[['run', 'busybox', 'true']], [['pull', 'busybox']]])('mayfly %j', async (words) => {
    const outcome = await asNobody(['packages/cli/dist/main.js', ...words])
    expect(outcome).toMatchObject({ code: words[0] === 'run' ? 125 : 1, stdout: '', stderr: expect.stringContaining('(ERR_MAYFLY_UNPRIVILEGED)\n') as string })
  })
})

/**
 * Runs Node on a file of the repository as a user without rights, in a user namespace of its own that allows no further
 * ones. The repository and Node are bound where such a user may go; all of it is gone with the process.
 */
async function asNobody([file = '', ...words]: readonly string[]): Promise<Outcome> {
  const own = join(place.directory, 'nobody')
  for (const name of ['', 'repository', 'home', 'run']) mkdirSync(join(own, name), { recursive: true, mode: 0o755 })
  for (const name of ['home', 'run']) chownSync(join(own, name), NOBODY, NOBODY)
  writeFileSync(join(own, 'node'), '')
  chmodSync(place.directory, 0o711)
  const script = `
    set -e
    mount --rbind "$1" "$2/repository"
    mount --bind "$3" "$2/node"
    shift
    exec unshare --user --keep-caps sh -c '
      set -e
      echo ready
      read mapped
      echo 0 > /proc/sys/user/max_user_namespaces
      own=$1 file=$3
      shift 3
      set -- "$own/node" "$own/repository/$file" "$@"
      exec setpriv --reuid=${NOBODY} --regid=${NOBODY} --clear-groups --inh-caps=-all --ambient-caps=-all --bounding-set=-all "$@"
    ' sh "$@"`
  const home = join(own, 'home')
  const env = { ...process.env, HOME: home, MAYFLY_HOME: join(home, 'store'), XDG_RUNTIME_DIR: join(own, 'run') }
  const child = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', root, own, process.execPath, file, ...words], { env })
  let [stdout, stderr] = ['', '']
  child.stderr.on('data', (chunk: Buffer) => { stderr += chunk.toString() })
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
    if (stdout !== 'ready\n') return
    // unshare became the shell: its user namespace is this child's.
    for (const kind of ['uid', 'gid']) writeFileSync(`/proc/${child.pid}/${kind}_map`, `0 0 ${NOBODY + 1}\n`)
    child.stdin.end('mapped\n')
  })
  const code = await new Promise<number>((resolve) => child.once('close', (status) => { resolve(status ?? -1) }))
  return { code, stdout: stdout.replace(/^ready\n/, ''), stderr }
}
