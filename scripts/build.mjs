// Builds every package in the order of their dependencies: node scripts/build.mjs [NAME…]
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const order = [['native'], ['core'], ['jest-env', 'vitest-plugin', 'cli']]
const wanted = process.argv.slice(2)

for (const floor of order) {
  const names = floor.filter((name) => wanted.length === 0 || wanted.includes(name))
  const codes = await Promise.all(names.map((name) => build(name)))
  if (codes.some((code) => code !== 0)) process.exit(1)
}

async function build(name) {
  const cwd = join(root, 'packages', name)
  const bundled = existsSync(join(cwd, 'tsup.config.ts'))
  const code = await run(name, cwd, bundled ? [join(root, 'node_modules/.bin/tsup'), '--silent'] : [process.execPath, 'build.mjs'])
  const after = !bundled ? [] : name === 'core' ? ['maps', 'merge'] : ['maps']
  return after.reduce(async (before, step) => await before || run(name, cwd, [process.execPath, join(root, `scripts/build/${step}.mjs`), join(cwd, 'dist')]), code)
}

function run(name, cwd, [command, ...words]) {
  return new Promise((resolve) => {
    const child = spawn(command, words, { cwd, stdio: ['ignore', 'inherit', 'inherit'] })
    child.once('error', (error) => { process.stderr.write(`${name}: ${error.message}\n`); resolve(1) })
    child.once('close', (code) => {
      if (code !== 0) process.stderr.write(`building packages/${name} failed\n`)
      resolve(code ?? 1)
    })
  })
}
