// Fuzzes the decoders (protocol, untar, copy, inflate, dns, frame) and the compressor with sanitizers: node packages/native/fuzz/fuzz.mjs [--seconds N] [--target NAME]
// [--number N]. Replays every seed first; what breaks is left in fuzz/found/ and belongs into fuzz/seeds/ once mended.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { createHash } from 'node:crypto'

const here = dirname(fileURLToPath(import.meta.url))
const source = join(here, '../src')
const compiler = process.env.CC ?? 'cc'
const flags = ['-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Wconversion', '-Wshadow', '-O1', '-g', '-fno-omit-frame-pointer', '-no-pie', '-fno-pie', '-fsanitize=address,undefined', '-fno-sanitize-recover=all']
/** Replaced at link time: what a target simulates. */
const targets = {
  protocol: ['pipe2', 'syscall', 'waitid', 'setns', 'unshare', 'fallocate', '_exit'],
  untar: ['exit'],
  copy: ['exit'],
  dns: [],
  frame: [],
  inflate: [],
  deflate: [],
}

/**
 * Fuzzes all targets at once. @param {{ seconds: number, target?: string, number?: number }} options
 * @returns {Promise<{ target: string, summary: string, trouble?: string }[]>}
 */
export async function fuzz({ seconds, target, number = 1 }) {
  const scratch = mkdtempSync(join(tmpdir(), 'mf-fuzz-'))
  try {
    const objects = await compile(scratch)
    const names = Object.keys(targets).filter((name) => target === undefined || name === target)
    return await Promise.all(names.map((name) => one(name, objects, scratch, seconds, number)))
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

async function compile(scratch) {
  const files = readdirSync(source).filter((file) => file.endsWith('.c') && file !== 'main.c')
  const objects = files.map((file) => join(scratch, `${file}.o`))
  // Only the program under test counts as code to reach.
  await all(files, 4, (file, index) => cc(['-fsanitize-coverage=trace-pc', '-c', join(source, file), '-o', objects[index]]))
  return objects
}

async function one(name, objects, scratch, seconds, number) {
  const program = join(scratch, name)
  const wraps = targets[name].map((symbol) => `-Wl,--wrap=${symbol}`)
  await cc([join(here, 'driver.c'), join(here, `target_${name}.c`), ...objects, ...wraps, '-o', program])
  const current = join(scratch, `${name}.current`)
  const { code, signal, text } = await run(program, [join(here, 'seeds', name), current, String(seconds), String(number)])
  if (code === 0) return { target: name, summary: text.trim() }
  return { target: name, summary: `ended with ${signal ?? code}`, trouble: `${kept(name, current)}\n${text.slice(0, 8000)}` }
}

function kept(name, current) {
  if (!existsSync(current)) return 'no input was run'
  const bytes = readFileSync(current)
  const input = bytes.subarray(4, 4 + bytes.readUInt32LE(0))
  const found = join(here, 'found')
  mkdirSync(found, { recursive: true })
  const file = join(found, `${name}-${createHash('sha256').update(input).digest('hex').slice(0, 12)}`)
  writeFileSync(file, input)
  return `the input is in ${file}`
}

function cc(words) {
  return run(compiler, [...flags, ...words]).then(({ code, text }) => {
    if (code !== 0) throw new Error(`${compiler} ${words.at(-1)}:\n${text}`)
  })
}

function run(program, words) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1:handle_abort=0', UBSAN_OPTIONS: 'print_stacktrace=1' }
    const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], env })
    let text = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { text += chunk })
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, text }))
  })
}

async function all(items, width, work) {
  let next = 0
  await Promise.all(Array.from({ length: width }, async () => {
    for (let index = next++; index < items.length; index = next++) await work(items[index], index)
  }))
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { parseArgs } = await import('node:util')
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, target: { type: 'string' }, number: { type: 'string', default: '1' } } })
  const results = await fuzz({ seconds: Number(values.seconds), target: values.target, number: Number(values.number) })
  for (const { target, summary, trouble } of results) process.stdout.write(`${target}: ${summary}\n${trouble === undefined ? '' : `${trouble}\n`}`)
  const failed = results.filter(({ trouble }) => trouble !== undefined).length
  process.stdout.write(`${results.length - failed} passed, ${failed} failed\n`)
  process.exitCode = failed === 0 && results.length > 0 ? 0 : 1
}
