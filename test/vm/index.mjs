// Runs the runtime's tests on other kernels, with cgroup v2 and systemd as users have them:
//   npm run test:vm [-- --short] [--kernel 6.12,6.1] [--as root,user,delegated,bare,container] [TEST-FILES]
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { registryStorage } from '../images/index.mjs'
import { setUp } from '../../scripts/setup.mjs'
import { installPackages } from '../../scripts/setup/system.mjs'
import { imagesDisk, machineCache, rootDisk, series, workDisk } from './disk.mjs'
import { boot, complaints } from './machine.mjs'
import { ways } from './ways.mjs'

const options = parse(process.argv.slice(2))
const began = Date.now()
const seconds = () => `${((Date.now() - began) / 1000).toFixed(1)} s`
const say = (text) => process.stdout.write(`${text}\n`)
let passed = 0
let failed = 0
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) process.on(signal, () => process.exit(code))

const scratch = mkdtempSync(join(tmpdir(), 'mayfly-vm-'))
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }))
try {
  if (process.arch !== 'x64') throw new Error('the machines of test:vm are x64')
  await setUp({ quiet: true })
  await installPackages({ images: false, registry: true, machine: true, say })
  const machine = await rootDisk(say)
  const images = await imagesDisk(say)
  const work = join(scratch, 'work.ext4')
  await workDisk(work, say)
  say(`disks ready after ${seconds()}`)
  for (const kernel of options.kernels) await test(kernel, { machine, images, work })
} catch (error) {
  say(error.message)
  failed += 1
}
say(`machines took ${seconds()}\n${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1

async function test(kernel, { machine, images, work }) {
  const plan = { ways: options.ways, files: options.files, short: options.short, limit: 120, silence: 300, registry: basename(registryStorage()) }
  const log = join(scratch, `console-${kernel}.log`)
  const before = failed
  let ended = false
  const trouble = await boot({ kernel: join(machine, `vmlinuz-${kernel}`), root: join(machine, 'root.img'), work, images, plan, console: log }, (line) => {
    if (!line.startsWith('@ ')) return say(line)
    const told = JSON.parse(line.slice(2))
    if (told.up !== undefined) say(`\nLinux ${kernel}: booted in ${told.up} s`)
    else if (told.end) ended = true
    else if (told.passed === undefined) say(`\nLinux ${kernel}, ${ways[told.way].title}`)
    else {
      passed += told.passed
      failed += told.failed
      say(`Linux ${kernel}, ${ways[told.way].title}: ${told.passed} passed, ${told.failed} failed, ${told.skipped} skipped in ${told.seconds} s`)
    }
  })
  if (trouble !== undefined || !ended) {
    failed += 1
    say(`Linux ${kernel}: ${trouble ?? 'the machine ended before its tests did'}`)
  }
  for (const text of complaints(log)) {
    failed += 1
    say(`Linux ${kernel}: ${text}`)
  }
  if (failed > before) {
    const kept = join(machineCache(), `console-${kernel}.log`)
    mkdirSync(machineCache(), { recursive: true })
    copyFileSync(log, kept)
    say(`Linux ${kernel}: the console is in ${kept}`)
  }
}

/** @param {string[]} words */
function parse(words) {
  const chosen = { kernels: series, ways: Object.keys(ways), files: undefined, short: false }
  const list = (word, text, known) => {
    const names = (text ?? '').split(',')
    const unknown = names.find((name) => !known.includes(name))
    if (unknown !== undefined) throw new Error(`${word} knows ${known.join(', ')}, not '${unknown}'`)
    return names
  }
  for (let at = 0; at < words.length; at += 1) {
    const [word, inline] = words[at].split('=', 2)
    if (word === '--short') Object.assign(chosen, { short: true, kernels: series.slice(0, 1) })
    else if (word === '--kernel') chosen.kernels = list(word, inline ?? words[++at], series)
    else if (word === '--as') chosen.ways = list(word, inline ?? words[++at], Object.keys(ways))
    else if (word.startsWith('-')) throw new Error(`unknown option ${word}: --short, --kernel, --as`)
    else (chosen.files ??= []).push(word)
  }
  return chosen
}
