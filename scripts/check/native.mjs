// The C program: quiet under the compiler's analyzer, and its tests pass in a build with sanitizers.
import { spawn } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const LONGEST = 500

/** @param {string} root the workspace @returns {Promise<string[]>} */
export async function nativeProblems(root) {
  const native = join(root, 'packages/native')
  const build = (word) => output(process.execPath, [join(native, 'build.mjs'), word], root)
  const [analyzed, built] = await Promise.all([build('--analyze'), build('--sanitize')])
  const problems = [...tooLong(join(native, 'src'))]
  if (analyzed.code !== 0 || analyzed.text !== '') problems.push(`--analyze:\n${analyzed.text}`)
  if (built.code !== 0 || /warning|error/.test(built.text)) return [...problems, `--sanitize:\n${built.text}`]
  const tests = await output(join(root, 'node_modules/.bin/vitest'), ['run', 'packages/native', '--reporter=dot'], root, {
    MAYFLY_NATIVE_PATH: join(native, 'build/mayfly-native-asan'),
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
  })
  if (tests.code !== 0) problems.push(`with sanitizers:\n${tests.text}`)
  return problems
}

/** The short form of `npm run test:fuzz`: every seed, then so many seconds of new inputs. */
export async function fuzzProblems(seconds) {
  const { fuzz } = await import('../../packages/native/fuzz/fuzz.mjs')
  // Other inputs each time; one that breaks is kept, so that nothing depends on finding it again.
  const results = await fuzz({ seconds, number: process.pid })
  return results.filter(({ trouble }) => trouble !== undefined).map(({ target, summary, trouble }) => `${target}: ${summary}\n${trouble}`)
}

function tooLong(directory) {
  return readdirSync(directory)
    .map((name) => ({ name, lines: readFileSync(join(directory, name), 'utf8').split('\n').length - 1 }))
    .filter(({ lines }) => lines >= LONGEST)
    .map(({ name, lines }) => `${name} has ${lines} lines: look for its second idea`)
}

function output(command, words, cwd, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, words, { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    let text = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { text += chunk })
    child.once('error', (error) => resolve({ code: 1, text: error.message }))
    child.once('close', (code) => resolve({ code, text: text.trim() }))
  })
}
