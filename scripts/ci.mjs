// What continuous integration runs: the README's test command, the runtime on another kernel, then the checks. The last
// line sums up what really ran.
import { spawn } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
let passed = 0
let failed = 0
for (const words of [['test'], ['run', 'test:vm', '--', '--short'], ['run', 'check']]) {
  const { code, summary } = await npm(words)
  passed += summary?.passed ?? 0
  failed += summary?.failed ?? 0
  // Ended without a sum, or badly in spite of a good one.
  if (summary === undefined || (code !== 0 && summary.failed === 0)) failed += 1
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1

function npm(words) {
  return new Promise((resolve) => {
    process.stdout.write(`$ npm ${words.join(' ')}\n`)
    const child = spawn('npm', words, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, CI: process.env.CI ?? 'true' } })
    let tail = ''
    child.stdout.on('data', (chunk) => {
      process.stdout.write(chunk)
      tail = (tail + chunk).slice(-4000)
    })
    child.once('error', () => resolve({ code: 1, summary: undefined }))
    child.once('close', (code) => {
      const last = [...tail.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1)
      resolve({ code: code ?? 1, summary: last && { passed: Number(last[1]), failed: Number(last[2]) } })
    })
  })
}
