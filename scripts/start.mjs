// Mayfly as a user gets it: packs the packages, installs them into copies of the examples, and runs their tests.
//   npm start [-- --hub]     --hub: images from Docker Hub instead of those built here
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { must, packAll, usePacked } from './packed.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const hub = process.argv.includes('--hub')
const say = (text) => { process.stdout.write(`${text}\n`) }

try {
  await must(process.execPath, ['scripts/setup.mjs', ...(hub ? ['--hub'] : [])], { cwd: root })
} catch {
  process.exit(1)
}

const scratch = mkdtempSync(join(tmpdir(), 'mf-start-'))
let registry
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) process.once(signal, () => process.exit(code))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))
try {
  say('packing the packages')
  const tarballs = await packAll(root, scratch)
  const environment = { ...process.env, MAYFLY_HOME: process.env.MAYFLY_HOME ?? join(scratch, 'home') }
  if (!hub && environment.MAYFLY_REGISTRY_MIRROR === undefined) {
    const { startRegistry } = await import('../test/images/registry.mjs')
    registry = await startRegistry()
    environment.MAYFLY_REGISTRY_MIRROR = registry.mirror
  }
  say(`images come from ${hub ? 'Docker Hub' : 'a registry on loopback, filled with images built from Debian packages'}`)
  for (const [example, expected] of Object.entries({ jest: ['httpd', 'redis'], vitest: ['db 1', 'db 2'] })) {
    const from = join(root, 'examples', example)
    if (!existsSync(from)) throw new Error(`examples/${example} is missing`)
    const directory = join(scratch, example)
    mkdirSync(directory)
    cpSync(from, directory, { recursive: true, filter: (path) => !/\/(node_modules|package-lock\.json)$/.test(path) })
    usePacked(root, join(directory, 'package.json'), tarballs)
    say(`\nexamples/${example}: npm install, npm test`)
    const began = performance.now()
    await must('npm', ['install', '--silent', '--no-audit', '--no-fund'], { cwd: directory, env: environment })
    const installed = performance.now()
    const log = join(scratch, `${example}.started`)
    await must('npm', ['test', '--silent'], { cwd: directory, env: { ...environment, MAYFLY_TRACE_FILE: log } })
    say(`examples/${example}: installed in ${seconds(installed - began)}, tests in ${seconds(performance.now() - installed)}`)
    tell(log, expected)
  }
} catch (error) {
  process.stderr.write(`\n${error.message}\n`)
  process.exitCode = 1
} finally {
  await registry?.close()
}

/** What the run hosts of the example wrote down (docs/services.md): images and where they came from, containers and how long they took. */
function tell(log, expected) {
  const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line)) : []
  // The second run of an example finds in the store what the first has pulled.
  for (const { image, from, origin, ms } of lines.filter((line) => line.event === 'image')) {
    say(from === 'store' ? `  image ${image}: in the store, from ${origin}` : `  image ${image}: pulled from ${origin} in ${seconds(ms)}`)
  }
  for (const { name, slot, image, host, ports, ms } of lines.filter((line) => line.event === 'ready')) {
    const where = Object.values(ports).map((port) => `${host}:${port}`).join(', ')
    say(`  ${name} for worker ${slot}: ${image} at ${where}, ready after ${ms} ms`)
  }
  const missing = expected.filter((text) => !lines.some(({ name, slot }) => `${name} ${slot}` === text || name === text))
  if (missing.length > 0) throw new Error(`The example did not start ${missing.join(', ')}`)
}

function seconds(milliseconds) {
  return `${(milliseconds / 1000).toFixed(1)} s`
}
