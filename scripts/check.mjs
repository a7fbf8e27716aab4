// What is fast to know without running a container: types, lint, floors, lock, packages. npm run check [-- NAME…]
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { floorViolations } from './check/floors.mjs'
import { missingFromLock } from './check/lock.mjs'
import { fuzzProblems, nativeProblems } from './check/native.mjs'
import { packageProblems } from './check/packages.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = (name) => join(root, 'node_modules/.bin', name)
const checks = {
  setup: () => command(process.execPath, ['scripts/setup.mjs', '--quiet', '--skip', 'images']),
  types: async () => [...await command(bin('tsc'), ['-b', '--pretty', 'false']), ...await command(bin('tsc'), ['-p', 'test', '--pretty', 'false'])],
  lint: () => command(bin('eslint'), ['.', '--max-warnings', '0']),
  floors: async () => floorViolations(root),
  lock: async () => missingFromLock(join(root, 'package-lock.json')),
  native: () => nativeProblems(root),
  fuzz: () => fuzzProblems(120),
  packages: () => packageProblems(root, readdirSync(join(root, 'packages'))),
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(checks)
let passed = 0
let failed = 0
for (const name of names) {
  const started = performance.now()
  const problems = await checks[name]().catch((error) => [error.stack ?? String(error)])
  const took = ((performance.now() - started) / 1000).toFixed(1)
  process.stdout.write(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${name.padEnd(9)} ${took.padStart(6)} s\n`)
  for (const problem of problems) process.stdout.write(`${problem.replace(/^/gm, '    ')}\n`)
  if (problems.length === 0) passed += 1
  else failed += 1
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 ? 0 : 1

/** @returns {Promise<string[]>} what it printed, when it failed */
function command(program, words) {
  return new Promise((resolve) => {
    const child = spawn(program, words, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += chunk })
    child.once('error', (error) => resolve([error.message]))
    child.once('close', (code) => resolve(code === 0 ? [] : [output.trim() || `ended with ${code}`]))
  })
}
