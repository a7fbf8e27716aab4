// Inside the machine, as root: runs vitest once for every way of running it that the plan names, and prints on the
// second serial line what it prints. Lines that begin with @ are for the host.
import { spawn, execFileSync } from 'node:child_process'
import { mkdirSync, chmodSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { short, ways } from './ways.mjs'

const serial = openSync('/dev/ttyS1', 'w')
const print = (text) => {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length;) at += writeSync(serial, bytes, at)
}
const plan = JSON.parse(Buffer.from(/\bmayfly=(\S+)/.exec(readFileSync('/proc/cmdline', 'utf8'))[1], 'base64url').toString())
execFileSync('stty', ['-F', '/dev/ttyS1', 'raw', '-echo'])
execFileSync('sh', ['-c', 'ip link set lo up; chmod 0666 /dev/net/tun 2>/dev/null; true'])
mkdirSync(`/images/${plan.registry}`)
execFileSync('mount', ['-o', 'ro', '/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_images', `/images/${plan.registry}`])
// Places the bundler writes to.
for (const name of ['.vite', '.vite-temp', '.vite/vitest', '.experimental-vitest-cache']) {
  mkdirSync(`/work/node_modules/${name}`, { recursive: true })
  chmodSync(`/work/node_modules/${name}`, 0o1777)
}
print(`@ ${JSON.stringify({ up: Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) })}\n`)
for (const name of plan.ways) {
  print(`@ ${JSON.stringify({ way: name })}\n`)
  const began = performance.now()
  const report = `/tmp/report-${name}.json`
  const code = await run(ways[name], files(ways[name]), report)
  print(`@ ${JSON.stringify({ way: name, seconds: Math.round((performance.now() - began) / 1000), ...counted(report, code) })}\n`)
}
print(`@ ${JSON.stringify({ end: true })}\n`)

function files(way) {
  return plan.files ?? (plan.short && way.files === ways.root.files ? short : way.files)
}

function run({ command, env = {} }, files, report) {
  rmSync(report, { force: true })
  const vitest = [
    'node', '/work/node_modules/vitest/vitest.mjs', 'run', '--pool=forks', '--no-file-parallelism', '--no-isolate', '--configLoader=runner', '--experimental.fsModuleCache',
    `--testTimeout=${plan.limit * 1000}`, `--hookTimeout=${plan.limit * 1000}`, '--reporter=verbose', '--reporter=json', `--outputFile.json=${report}`,
    ...files,
  ]
  const all = { NO_COLOR: '1', MAYFLY_TEST_IMAGES: '/images', ...env }
  const [program, ...words] = command(vitest, all)
  return new Promise((resolve) => {
    const child = spawn(program, words, { cwd: '/work', stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH, HOME: '/root', LANG: 'C.UTF-8', ...all } })
    for (const stream of [child.stdout, child.stderr]) stream.on('data', print)
    child.once('error', (error) => { print(`${error.message}\n`); resolve(1) })
    child.once('close', (code, signal) => {
      if (signal !== null) print(`the tests' process ended by ${signal}\n`)
      resolve(code ?? 1)
    })
  })
}

function counted(report, code) {
  try {
    const { testResults, numPassedTests: passed, numFailedTests, numPendingTests: skipped } = JSON.parse(readFileSync(report, 'utf8'))
    const broken = testResults.filter((file) => file.status === 'failed' && file.assertionResults.every((one) => one.status !== 'failed'))
    const failed = numFailedTests + broken.length
    return { passed, skipped, failed: code !== 0 && failed === 0 ? 1 : failed }
  } catch (error) {
    print(`the tests' process ended with ${code} and left no report: ${error.message}\n`)
    return { passed: 0, skipped: 0, failed: 1 }
  }
}
