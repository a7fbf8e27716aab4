import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { openPlace, program, type Place } from '../place.js'
import { terminalOf } from './pseudo-terminal.js'

let place: Place
beforeAll(async () => {
  place = await openPlace()
  expect(await place.mayfly(['create', '--name', 'made', '-l', 'a=b', 'busybox'])).toMatchObject({ code: 0 })
  expect(await place.mayfly(['tag', 'busybox', 'other:1.5'])).toMatchObject({ code: 0 })
})
afterAll(() => place.close())

/** A `mayfly` on the path of the shells. */
function path(): string {
  const bin = join(place.directory, 'bin')
  mkdirSync(bin, { recursive: true })
  writeFileSync(join(bin, 'mayfly'), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`)
  chmodSync(join(bin, 'mayfly'), 0o755)
  return `${bin}:${process.env['PATH'] ?? ''}`
}

async function words(...typed: string[]): Promise<string[]> {
  return (await place.mayfly(['__complete', '--', ...typed])).stdout.split('\n').slice(0, -1)
}

test('knows commands, flags, containers, images and where files stand', async () => {
  expect(await words('un')).toEqual(['unpause'])
  expect(await words('container', 'st')).toEqual(['start', 'stats', 'stop'])
  expect(await words('run', '--cap')).toEqual(['--cap-add', '--cap-drop'])
  expect(await words('start', '')).toEqual(['made'])
  expect(await words('run', '--name', 'x', 'bu')).toEqual(['busybox'])
  expect(await words('build', '')).toEqual([':files'])
  expect(await words('run', '--env-file', '')).toEqual([':files'])
  expect(await words('completion', '')).toEqual(['bash', 'fish', 'zsh'])
  expect(await place.mayfly(['completion', 'tcsh'])).toMatchObject({ code: 1, stderr: expect.stringContaining('bash, zsh and fish') as string })
})

/** What a person has typed at the Tab key, and what the shell makes of it. */
const LINES = [
  // A command, one of a group, a flag.
  ['mayfly unp', 'unpause'], ['mayfly container unp', 'unpause'], ['mayfly run --cap-a', '--cap-add'],
  // A container, an image behind a flag and its value, one with a tag, a file.
  ['mayfly start ma', 'made'], ['mayfly run --name x bu', 'busybox'], ['mayfly rmi other:1', 'other:1.5'], ['mayfly build /etc/os-rel', '/etc/os-release'],
] as const

/** Why a shell is not tested here. */
function skipped(shell: string): string {
  return spawnSync(shell, ['--version']).error === undefined ? '' : ` (skipped: ${shell} is not installed here)`
}

const SHELLS = {
  bash: { command: 'bash --noprofile --norc -i', script: 'source <(mayfly completion bash)' },
  zsh: { command: 'zsh -f -i', script: 'autoload -Uz compinit; compinit -u -D; source <(mayfly completion zsh)' },
}
for (const [shell, { command, script }] of Object.entries(SHELLS)) {
  test.skipIf(skipped(shell) !== '')(`is what ${shell} does at the Tab key${skipped(shell)}`, async () => {
    const terminal = terminalOf(`stty cols 200; exec ${command}`, { ...process.env, PATH: path(), PS1: '> ' })
    terminal.type(`${script}; echo rea''dy\n`)
    await terminal.shows('ready')
    for (const [typed, word] of LINES) {
      const before = terminal.screen().length
      terminal.type(`\u0015${typed}\t`)
      await expect.poll(() => terminal.screen().slice(before).replace(/\u001b\[[0-9;?]*[a-zA-Z]/g, ''), { timeout: 10_000, interval: 10 }).toContain(word)
    }
    terminal.type('\u0015exit\n')
    expect(await terminal.exit).toBe(0)
  }, 60_000)
}

test.skipIf(skipped('fish') !== '')(`is what fish does${skipped('fish')}`, () => {
  const script = ['mayfly completion fish | source', ...LINES.map(([typed]) => `complete -C '${typed}'`)].join('; ')
  const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', script], { encoding: 'utf8', env: { ...process.env, PATH: path() } })
  expect({ found: stdout.trim().split('\n'), stderr }).toEqual({ found: LINES.map(([, word]) => word), stderr: '' })
}, 60_000)
