// Builds the static binary with the system's C compiler; nothing is compiled when nothing changed.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(fileURLToPath(import.meta.url))
const source = join(root, 'src')
const compiler = process.env.CC ?? 'cc'
const common = [
  '-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Wconversion', '-Wshadow', '-Werror=implicit',
]
const variants = {
  release: { output: 'mayfly-native', compile: ['-O2'], link: ['-static', '-s'] },
  sanitize: {
    output: 'mayfly-native-asan',
    compile: ['-O1', '-g', '-fno-omit-frame-pointer', '-fsanitize=address,undefined'],
    link: ['-fsanitize=address,undefined'],
  },
  inject: { output: 'mayfly-native-inject', compile: ['-O2', '-DMAYFLY_INJECT'], link: ['-static', '-s'] },
  analyze: { output: undefined, compile: ['-O1', '-fanalyzer'], link: [] },
}

const name = ['sanitize', 'inject', 'analyze'].find((word) => process.argv.includes(`--${word}`)) ?? 'release'
try {
  await build(name, variants[name])
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}

async function build(label, { output, compile, link }) {
  const files = readdirSync(source).filter((file) => /\.[ch]$/.test(file)).sort()
  const hash = createHash('sha256').update(JSON.stringify([compiler, common, compile, link, process.arch]))
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(join(source, file)))
  const digest = hash.digest('hex')

  const build = join(root, 'build')
  mkdirSync(build, { recursive: true })
  const target = output === undefined ? undefined : join(build, output)
  const stamp = join(build, `${label}.stamp`)
  if (target !== undefined && existsSync(target) && readIf(stamp) === digest) return

  const scratch = join(build, `objects-${label}-${process.pid}`)
  mkdirSync(scratch)
  try {
    const objects = await inParallel(files.filter((file) => file.endsWith('.c')), 4, async (file) => {
      const object = join(scratch, file.replace(/\.c$/, '.o'))
      await run([...common, ...compile, '-c', join(source, file), '-o', object])
      return object
    })
    if (target === undefined) return
    const fresh = join(scratch, 'linked')
    await run([...compile, ...objects, ...link, '-o', fresh])
    renameSync(fresh, target)
    writeFileSync(join(scratch, 'stamp'), digest)
    renameSync(join(scratch, 'stamp'), stamp)
    process.stdout.write(`built ${output} (${statSync(target).size} bytes)\n`)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

function readIf(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

async function inParallel(items, width, work) {
  const results = new Array(items.length)
  let next = 0
  const lane = async () => {
    while (next < items.length) {
      const index = next++
      results[index] = await work(items[index])
    }
  }
  // All lanes end before the caller deletes the scratch directory.
  const lanes = await Promise.allSettled(Array.from({ length: width }, lane))
  const failed = lanes.find((one) => one.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  return results
}

function run(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(compiler, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    child.on('error', (error) => reject(new Error(`${compiler}: ${error.message}. Install a C compiler (gcc or clang).`)))
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`${compiler} failed: ${args.at(-1)}`))))
  })
}
