import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, it } from 'vitest'

import { nativeBinary } from '../index.js'
import { native } from './sandbox.js'

let root: string
beforeEach(() => { root = mkdtempSync(join(tmpdir(), 'mayfly-commands-')) })
// Not Node's own removal, which knows no paths beyond PATH_MAX.
afterEach(() => { execFileSync('rm', ['-rf', root]) })

it('lock holds until its standard input ends, and the next waits for it', async () => {
  const file = join(root, 'lock')
  const first = spawn(nativeBinary(), ['lock', file])
  await once(first.stdout, 'data')
  const second = spawn(nativeBinary(), ['lock', file])
  let got = false
  const taken = once(second.stdout, 'data').then(() => { got = true })
  const shared = spawn(nativeBinary(), ['lock', file, 'shared'])
  expect(got).toBe(false)
  first.stdin.end()
  await once(first, 'close')
  shared.stdin.end()
  await taken
  second.stdin.end()
  await once(second, 'close')
})

/** A process that holds locks: what it said, and a wait for its saying more. */
function holder(): { readonly child: ChildProcessWithoutNullStreams, ask(words: string): void, heard(line: string): Promise<void>, readonly said: () => string } {
  const child = spawn(nativeBinary(), ['locks'])
  let said = ''
  child.stdout.on('data', (text: Buffer) => { said += text.toString() })
  return {
    child, said: () => said,
    ask: (words) => void child.stdin.write(`${words}\0`),
    heard: (line) => expect.poll(() => said.split('\n'), { timeout: 10_000 }).toContain(line),
  }
}

/** Whom it has waiting. */
function waiting(pid = 0): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter((one) => one !== '')
}

it('locks holds many, waits aside for those of others, and gives back what nobody waits for any more', async () => {
  const [a, b] = [join(root, 'a'), join(root, 'b')]
  const [first, second, third] = [holder(), holder(), holder()]
  first.ask(`take 1 ${a}`)
  first.ask(`take 2 ${b}`)
  await first.heard('locked 2')
  second.ask(`take 7 ${a}`)
  second.ask(`take 8 ${b}`)
  second.ask(`take 9 ${join(root, 'none', 'c')}`)
  await second.heard('failed 9 open: ENOENT')
  expect(waiting(second.child.pid)).toHaveLength(2)
  first.ask('drop 2')
  await second.heard('locked 8')
  // Given up while it waits, then taken by another at once.
  second.ask('drop 7')
  await second.heard('dropped 7')
  expect(waiting(second.child.pid)).toEqual([])
  first.ask('drop 1')
  third.ask(`share 1 ${a}`)
  third.ask(`share 2 ${a}`)
  await third.heard('locked 2')
  second.ask(`take 10 ${a}`)
  await expect.poll(() => waiting(second.child.pid)).toHaveLength(1)
  // Killed, its locks are free, and its waiters gone with it.
  third.child.kill('SIGKILL')
  await second.heard('locked 10')
  second.child.stdin.end()
  await once(second.child, 'close')
  first.ask(`take 3 ${a}`)
  await first.heard('locked 3')
  first.ask('drop 99')
  await first.heard('dropped 99')
  first.child.stdin.end()
  await once(first.child, 'close')
  expect(second.said()).not.toContain('locked 7')
})

it('of locks that are deleted under a waiter, it takes the new one', async () => {
  const file = join(root, 'a')
  const [owner, waiter] = [holder(), holder()]
  owner.ask(`take 1 ${file}`)
  await owner.heard('locked 1')
  waiter.ask(`take 1 ${file}`)
  await expect.poll(() => waiting(waiter.child.pid)).toHaveLength(1)
  rmSync(file)
  owner.ask('drop 1')
  await waiter.heard('locked 1')
  expect(existsSync(file)).toBe(true)
  for (const { child } of [owner, waiter]) {
    child.stdin.end()
    await once(child, 'close')
  }
})

it('a killed holder of locks leaves no waiter behind', async () => {
  const [owner, waiter] = [holder(), holder()]
  owner.ask(`take 1 ${join(root, 'a')}`)
  await owner.heard('locked 1')
  waiter.ask(`take 1 ${join(root, 'a')}`)
  await expect.poll(() => waiting(waiter.child.pid)).toHaveLength(1)
  const [pid = ''] = waiting(waiter.child.pid)
  waiter.child.kill('SIGKILL')
  // Whose init reaps late, a dead one keeps its number.
  await expect.poll(() => { try { return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) (.).*/s, '$1') } catch { return 'Z' } }).toBe('Z')
  owner.child.stdin.end()
  await once(owner.child, 'close')
})

it('idle takes away the locks nobody holds with the work under them, and a waiter is not left with a lock on nothing', async () => {
  const [locks, work, trash] = ['locks', 'work', 'trash'].map((name) => join(root, name)) as [string, string, string]
  for (const directory of [locks, work, trash, join(work, 'dead'), join(work, 'living'), join(work, 'other')]) mkdirSync(directory)
  writeFileSync(join(locks, 'dead'), '')
  symlinkSync(join(root, 'elsewhere'), join(locks, 'linked'))
  const owner = spawn(nativeBinary(), ['lock', join(locks, 'living')])
  await once(owner.stdout, 'data')
  expect(native(['idle', locks, work, trash])).toMatchObject({ status: 0, err: '' })
  expect(readdirSync(locks).sort()).toEqual(['linked', 'living'])
  expect(readdirSync(work).sort()).toEqual(['living', 'other'])
  expect(readdirSync(trash)).toEqual([expect.stringMatching(/^dead\.\d+$/)])
  expect(existsSync(join(root, 'elsewhere'))).toBe(false)
  // Waits on a file that is then deleted under it.
  const waiter = spawn(nativeBinary(), ['lock', join(locks, 'living')])
  await expect.poll(() => readlinks(waiter.pid ?? 0)).toContain(join(locks, 'living'))
  rmSync(join(locks, 'living'))
  owner.stdin.end()
  await once(waiter.stdout, 'data')
  expect(native(['idle', locks]).status).toBe(0)
  expect(readdirSync(locks).sort()).toEqual(['linked', 'living'])
  waiter.stdin.end()
  await once(waiter, 'close')
})

/** What a process has open. */
function readlinks(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => { try { return readlinkSync(`/proc/${pid}/fd/${fd}`) } catch { return '' } })
}

it('gc finishes dead runs, leaves living ones and those without a lock, and follows no link', async () => {
  const runs = join(root, 'runs')
  for (const id of ['dead', 'living', 'unborn']) mkdirSync(join(runs, id, 'scratch'), { recursive: true })
  mkdirSync(join(root, 'precious'))
  writeFileSync(join(root, 'precious', 'data'), '')
  symlinkSync(join(root, 'precious'), join(runs, 'dead', 'scratch', 'link'))
  symlinkSync(join(root, 'precious'), join(runs, 'linked'))
  writeFileSync(join(root, 'precious', 'lock'), '')
  writeFileSync(join(runs, 'dead', 'lock'), '')
  writeFileSync(join(runs, 'dead', 'cgroups'), `${join(root, 'precious')}\n/sys/fs/cgroup/../../../tmp\n`)
  const owner = spawn(nativeBinary(), ['lock', join(runs, 'living', 'lock')])
  await once(owner.stdout, 'data')
  expect(native(['gc', runs])).toMatchObject({ status: 0, err: '' })
  expect(readdirSync(runs).sort()).toEqual(['linked', 'living', 'unborn'])
  expect(readdirSync(join(root, 'trash'))).toEqual([])
  expect(readdirSync(join(root, 'precious')).sort()).toEqual(['data', 'lock'])
  owner.stdin.end()
  await once(owner, 'close')
  expect(native(['gc', runs]).status).toBe(0)
  expect(existsSync(join(runs, 'living'))).toBe(false)
})

it('gc removes what a container nested deeper than there are descriptors, under any name', () => {
  const runs = join(root, 'runs')
  const nest = "for (let i = 0; i < 1500; i++) { fs.mkdirSync('.mayfly-1'); fs.writeFileSync('.mayfly-0', ''); process.chdir('.mayfly-1') }"
  const deep = (name: string): void => {
    const cwd = join(runs, 'dead', 'scratch', name)
    mkdirSync(cwd, { recursive: true })
    execFileSync(process.execPath, ['-e', nest], { cwd })
  }
  deep('a')
  deep('b')
  writeFileSync(join(runs, 'dead', 'lock'), '')
  const { status, err } = native(['gc', runs])
  expect({ status, err, left: readdirSync(runs) }).toEqual({ status: 0, err: '', left: [] })
  expect(readdirSync(join(root, 'trash'))).toEqual([])
})

it('gc of a directory that is not there has nothing to do', () => {
  expect(native(['gc', join(root, 'none')])).toMatchObject({ status: 0, err: '' })
})

it('probe names the kernel and what it allows', () => {
  const { status, out } = native(['probe'])
  expect(status).toBe(0)
  const values = Object.fromEntries(out.trim().split('\n').map((line) => line.split('=', 2)))
  expect(values).toMatchObject({ cgroup: expect.stringMatching(/^(v1|hybrid|v2)$/), openat2: 'yes', pidfd: 'yes' })
})

it('tar writes the same bytes for the same tree, and untar reads them back', () => {
  const from = join(root, 'from')
  mkdirSync(join(from, 'b'.repeat(120)), { recursive: true })
  writeFileSync(join(from, 'b'.repeat(120), 'x'), 'data')
  symlinkSync('t'.repeat(150), join(from, 'a'))
  mkdirSync(join(root, 'to'))
  expect(native(['untar', join(root, 'to')], native(['tar', from]).out)).toMatchObject({ status: 0, err: '' })
  expect(native(['tar', join(root, 'to')]).out).toBe(native(['tar', from]).out)
})
