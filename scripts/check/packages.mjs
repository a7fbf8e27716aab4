// Packs every package as it would be published and looks at what a user would get.
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** @param {string} root @param {string[]} names of directories in packages/ @returns {Promise<string[]>} */
export async function packageProblems(root, names) {
  const scratch = mkdtempSync(join(tmpdir(), 'mf-pack-'))
  const problems = []
  try {
    for (const name of names) {
      const directory = join(root, 'packages', name)
      const { type, exports } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
      const tarball = join(scratch, await pack(directory, scratch))
      const ours = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((file) => /^(dist|build)\/.*\.(js|cjs|map|ts|cts)$/.test(file))
      for (const file of ours) if (readFileSync(join(directory, file), 'utf8').includes(root)) problems.push(`${name}: ${file} names a place of the machine that built it`)
      const bin = (tool) => join(root, 'node_modules/.bin', tool)
      const lint = await run(bin('publint'), ['run', tarball, '--level', 'error'], directory)
      if (lint.code !== 0) problems.push(`${name}: publint\n${lint.output}`)
      if (exports['.'] === undefined || type !== 'module') continue
      const types = await run(bin('attw'), [tarball, '--no-color', '--format', 'ascii', '--profile', 'node16', ...untyped(exports)], directory)
      if (types.code !== 0) problems.push(`${name}: attw\n${types.output}`)
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
  return problems
}

/** What only a framework loads has no types. */
function untyped(exports) {
  const names = Object.entries(exports)
    .filter(([, target]) => typeof target === 'string' || (target.types === undefined && target.import === undefined)).map(([name]) => name)
  return names.length === 0 ? [] : ['--exclude-entrypoints', ...names]
}

/** @returns {Promise<string>} the tarball's file name in `destination` */
export async function pack(directory, destination) {
  const { code, output } = await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', destination], directory)
  if (code !== 0) throw new Error(`npm pack in ${directory} failed\n${output}`)
  return output.trim().split('\n').at(-1)
}

function run(program, words, cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += chunk })
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output: output.trim() }))
  })
}
