// The whole suite on a fresh clone: set-up, vitest, then whether anything was left behind.
//   npm test [-- VITEST-WORDS]
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { leaks, traces } from './check/leaks.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const started = Date.now()

const setUp = await spawned(process.execPath, ['scripts/setup.mjs'])
const vitest = join(root, 'node_modules/vitest/vitest.mjs')
// What can be tested without the part that failed still is.
if (setUp !== 0 && !existsSync(vitest)) finish(0, 1)

const mark = `MAYFLY_TEST_RUN=${randomUUID()}`
const before = traces(mark)
const scratch = mkdtempSync(join(tmpdir(), 'mf-report-'))
const report = join(scratch, 'vitest.json')
const code = await spawned(process.execPath, [
  vitest, 'run', '--passWithNoTests', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...process.argv.slice(2),
], { MAYFLY_TEST_RUN: mark.slice(mark.indexOf('=') + 1) })

let { passed, failed } = counted(report)
rmSync(scratch, { recursive: true, force: true })
if (setUp !== 0) failed += 1
// A crash outside any test must not look like success.
if (code !== 0 && failed === 0) failed = 1

const left = await leaks(before, mark)
if (left.length === 0) {
  passed += 1
  process.stdout.write('nothing left behind: processes, mounts, cgroups, interfaces, listeners, directories\n')
} else {
  failed += 1
  process.stdout.write(`left behind:\n${left.map((text) => `  ${text}`).join('\n')}\n`)
}
finish(passed, failed)

function counted(path) {
  try {
    const { testResults, numPassedTests, numFailedTests } = JSON.parse(readFileSync(path, 'utf8'))
    const broken = testResults.filter((file) => file.status === 'failed' && file.assertionResults.every((one) => one.status !== 'failed'))
    return { passed: numPassedTests, failed: numFailedTests + broken.length }
  } catch {
    return { passed: 0, failed: 1 }
  }
}

function finish(passed, failed) {
  process.stdout.write(`tests took ${((Date.now() - started) / 1000).toFixed(1)} s\n${passed} passed, ${failed} failed\n`)
  process.exit(failed === 0 ? 0 : 1)
}

function spawned(command, words, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, words, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } })
    child.once('error', (error) => { process.stderr.write(`${error.message}\n`); resolve(1) })
    child.once('close', (code) => resolve(code ?? 1))
  })
}
