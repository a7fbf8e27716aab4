import { spawnSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openBench, type Bench } from '../jest/runner.js'

let bench: Bench
beforeAll(async () => { bench = await openBench() })
afterAll(() => bench.close())

/** What an editor's extension does: two Vitests in one process, the first of which is closed late. */
const EDITOR = `
import { createVitest } from 'vitest/node'

const root = process.argv[2]
const open = async () => {
  const vitest = await createVitest('test', { root, watch: true, maxWorkers: 1, reporters: [{}] })
  await vitest.start()
  return vitest
}
const outcomes = vitest => vitest.state.getFiles().map(({ result }) => result?.state)
const run = () => JSON.parse(process.env.MAYFLY_RUN).socket
const one = await open()
const first = run()
const two = await open()
const second = run()
await one.close()
const files = await two.globTestSpecifications()
await two.rerunTestSpecifications(files)
console.log(JSON.stringify({ same: first === second, still: second === run(), outcomes: [outcomes(one), outcomes(two)] }))
await two.close()
console.log('closed ' + (process.env.MAYFLY_RUN === undefined))
`

test('set up twice in one process it is one run, until the last is closed', { timeout: 120_000 }, () => {
  const project = join(import.meta.dirname, 'fixtures/watched')
  const program = join(import.meta.dirname, 'fixtures', `editor-${String(process.pid)}.mjs`)
  writeFileSync(program, EDITOR)
  try {
    const { stdout, stderr } = spawnSync(process.execPath, [program, project], { cwd: project, env: bench.environment, encoding: 'utf8', timeout: 100_000 })
    const [told = '', closed] = stdout.split('\n').filter((line) => /^\{"same|^closed/.test(line))
    expect(told, stdout + stderr).not.toBe('')
    expect([JSON.parse(told), closed]).toEqual([{ same: true, still: true, outcomes: [['pass'], ['pass']] }, 'closed true'])
  } finally {
    rmSync(program)
  }
})
