// The packed packages in projects of every kind, each of which installs them and runs a test; and all examples.
//   npm run test:consumers [-- --node 20,22,24] [NAME…]     names: see below, or an example's
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { must, packAll, usePacked } from './packed.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const jestTest = (text) => `${text}\nconst web = container('httpd')\ntest('serves', async () => { expect((await web.fetch('/')).status).toBe(200) })\n`
const vitestTest = `import { withContainers } from '@mayfly/vitest-plugin/test'
import { expect, test as base } from 'vitest'
const test = withContainers(base, { web: 'httpd' })
test('serves', async ({ web }) => { expect((await web.fetch('/')).status).toBe(200) })
`
const jest = (version) => ({
  type: 'commonjs', dependencies: { '@mayfly/jest-env': '0.1.0', jest: version }, run: ['jest/bin/jest.js'],
  files: {
    'jest.config.js': `module.exports = require('@mayfly/jest-env').withMayfly()`,
    'web.test.js': jestTest(`const { container } = require('@mayfly/jest-env/test')`),
  },
})
const vitest = (version) => ({
  type: 'module', dependencies: { '@mayfly/vitest-plugin': '0.1.0', vitest: version }, run: ['vitest/vitest.mjs', 'run'],
  files: {
    'vitest.config.js': `import { mayfly } from '@mayfly/vitest-plugin'\nexport default { plugins: [mayfly()] }`,
    'web.test.js': vitestTest,
  },
})
const typescript = (version) => ({
  type: 'module', dependencies: { '@mayfly/core': '0.1.0', '@mayfly/vitest-plugin': '0.1.0', vitest: '4.1.12', typescript: version, '@types/node': '^20.19.0' },
  run: ['typescript/bin/tsc', '--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2022', '--types', 'node', 'web.test.ts'],
  files: { 'web.test.ts': vitestTest },
})

/** @type {Record<string, { type: string, dependencies: object, run: string[], files: Record<string, string>, from?: number, node?: string[] }>} */
const consumers = {
  'jest-29': jest('29.7.0'),
  'jest-30': jest('30.5.2'),
  'jest-30-esm': {
    ...jest('30.5.2'), type: 'module', node: ['--experimental-vm-modules'],
    files: {
      'jest.config.js': `import { withMayfly } from '@mayfly/jest-env'\nexport default withMayfly({ transform: {} })`,
      'web.test.js': jestTest(`import { container } from '@mayfly/jest-env/test'`),
    },
  },
  'vitest-3': vitest('3.2.7'),
  'vitest-4': vitest('4.1.12'),
  'vitest-5': { ...vitest('5.1.1'), from: 22 },
  // A real one, of 60 MB: it comes as an npm package and wants NSS of the machine (libnss3).
  browser: {
    ...vitest('4.1.12'),
    dependencies: { ...vitest('4.1.12').dependencies, '@mayfly/core': '0.1.0', '@vitest/browser-playwright': '4.1.12', playwright: '1.56.1', '@sparticuz/chromium': '138.0.2' },
    files: {
      'mayfly.config.js': `import { defineConfig, httpd } from '@mayfly/core'\nexport default defineConfig({ services: { web: httpd({ scope: 'run' }) } })`,
      'vitest.config.js': `import chromium from '@sparticuz/chromium'
import { mayfly } from '@mayfly/vitest-plugin'
import { playwright } from '@vitest/browser-playwright'
const provider = playwright({ launchOptions: { executablePath: await chromium.executablePath(), args: chromium.args } })
export default { plugins: [mayfly()], test: { browser: { enabled: true, headless: true, screenshotFailures: false, provider, instances: [{ browser: 'chromium' }] } } }`,
      'web.test.js': `import { service } from '@mayfly/vitest-plugin/browser'
import { expect, test } from 'vitest'
test('reaches what the run shares', async () => {
  expect(navigator.userAgent).toContain('Chrome')
  // Of another origin it may be opaque, but where nobody answers it is rejected.
  expect((await fetch(service('web').url, { mode: 'no-cors' })).type).not.toBe('error')
  await expect(fetch('http://127.0.0.1:9', { mode: 'no-cors' })).rejects.toThrow()
})
test('names what there is', () => expect(() => service('none')).toThrow("Provided are those of scope 'run': web."))`,
    },
  },
  'library-cjs': {
    type: 'commonjs', dependencies: { '@mayfly/core': '0.1.0' }, run: ['../web.js'],
    files: { 'web.js': `const { run } = require('@mayfly/core')\nrun('httpd').then(async (web) => { const { status } = await web.fetch('/'); await web.stop(); process.exitCode = status === 200 ? 0 : 1 })` },
  },
  'typescript-5.4': typescript('5.4.5'),
  'typescript-5.9': typescript('5.9.3'),
}
const examples = readdirSync(join(root, 'examples'))

const { values, positionals } = parseArgs({ allowPositionals: true, options: { node: { type: 'string' } } })
const names = positionals.length > 0 ? positionals : [...Object.keys(consumers), ...examples]
const unknown = names.find((name) => consumers[name] === undefined && !examples.includes(name))
if (unknown !== undefined) throw new Error(`There are: ${[...Object.keys(consumers), ...examples].join(', ')}; not ${unknown}`)

const scratch = mkdtempSync(join(tmpdir(), 'mf-consumers-'))
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) process.once(signal, () => process.exit(code))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))
const { startRegistry } = await import('../test/images/registry.mjs')
const registry = await startRegistry()
const environment = { ...process.env, MAYFLY_HOME: join(scratch, 'home'), MAYFLY_REGISTRY_MIRROR: registry.mirror }
let passed = 0
let failed = 0
try {
  const tarballs = await packAll(root, scratch)
  const nodes = await nodesOf(values.node?.split(',') ?? [process.versions.node.split('.')[0]])
  for (const name of names) {
    const directory = join(scratch, name)
    try {
      makeProject(name, directory)
      usePacked(root, join(directory, 'package.json'), tarballs)
      await must('npm', ['install', '--silent', '--no-audit', '--no-fund'], { cwd: directory, env: environment })
    } catch (error) {
      told(name, error)
      continue
    }
    for (const node of nodes) await told(`${name}, Node ${node.version}`, await runIn(name, directory, node).then(() => undefined, (error) => error))
  }
} finally {
  await registry.close()
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1

function told(what, error) {
  if (error === 'skipped') return process.stdout.write(`skipped ${what}: this version of the runner needs a newer Node\n`)
  if (error === undefined) passed += 1
  else failed += 1
  return process.stdout.write(error === undefined ? `ok      ${what}\n` : `FAILED  ${what}: ${error.message}\n`)
}

function makeProject(name, directory) {
  const consumer = consumers[name]
  if (consumer === undefined) {
    return cpSync(join(root, 'examples', name), directory, { recursive: true, filter: (path) => !/\/(node_modules|package-lock\.json)$/.test(path) })
  }
  mkdirSync(directory)
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ name, private: true, type: consumer.type, devDependencies: consumer.dependencies }))
  for (const [file, text] of Object.entries(consumer.files)) writeFileSync(join(directory, file), text)
  return undefined
}

async function runIn(name, directory, { program, version }) {
  const env = { ...environment, PATH: `${dirname(program)}${delimiter}${environment.PATH}`, CI: 'true' }
  const consumer = consumers[name]
  if (consumer === undefined) return must('npm', ['test', '--silent'], { cwd: directory, env })
  if (consumer.from !== undefined && Number(version.split('.')[0]) < consumer.from) return Promise.reject('skipped')
  const [first, ...rest] = consumer.run
  return must(program, [...(consumer.node ?? []), join(directory, 'node_modules', first), ...rest], { cwd: directory, env })
}

/** The Node that runs this, and others as npm packages bring them. */
async function nodesOf(versions) {
  const found = []
  for (const major of versions) {
    let program = process.execPath
    if (major !== process.versions.node.split('.')[0]) {
      const directory = join(scratch, `node-${major}`)
      mkdirSync(directory)
      writeFileSync(join(directory, 'package.json'), '{ "private": true }')
      const one = `node-${process.platform}-${process.arch}`
      await must('npm', ['install', '--silent', '--no-audit', '--no-fund', `${one}@${major}`], { cwd: directory, env: environment })
      program = join(directory, 'node_modules', one, 'bin/node')
    }
    found.push({ program, version: spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout.trim().slice(1) })
  }
  return found
}
