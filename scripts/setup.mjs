// What `npm start` and `npm test` begin with: everything a fresh machine lacks. Each step is skipped when its
// inputs' hash says that nothing changed. Plain Node: it runs before the dependencies are there.
//   node scripts/setup.mjs [--only STEP,…] [--skip STEP,…] [--hub] [--quiet]
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withLock } from './setup/lock.mjs'
import { progress } from './setup/progress.mjs'
import { steps } from './setup/steps.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/**
 * @param {{ only?: string[], skip?: string[], hub?: boolean, quiet?: boolean }} [options]
 *   hub: images come from Docker Hub, none is built
 */
export async function setUp(options = {}) {
  const wanted = steps.filter(({ name }) => (options.only?.includes(name) ?? true) && !options.skip?.includes(name))
  const report = progress({ quiet: options.quiet === true })
  // Outside node_modules, which `npm ci` removes.
  await withLock(join(root, '.tsbuild/setup.lock'), async () => {
    for (const step of wanted) {
      const line = report.start(step.title)
      try {
        line.done(await step.run({ root, hub: options.hub === true, say: line.say }))
      } catch (error) {
        line.failed()
        throw error
      }
    }
  }, () => report.note('waiting for another set-up of this checkout'))
}

/** @param {string[]} words */
function parse(words) {
  const options = {}
  const names = steps.map(({ name }) => name)
  for (let at = 0; at < words.length; at += 1) {
    const [word, inline] = words[at].split('=', 2)
    if (word === '--hub') options.hub = true
    else if (word === '--quiet') options.quiet = true
    else if (word === '--only' || word === '--skip') {
      const list = (inline ?? words[++at] ?? '').split(',')
      const unknown = list.find((name) => !names.includes(name))
      if (unknown !== undefined) throw new Error(`${word} knows ${names.join(', ')}, not '${unknown}'`)
      options[word.slice(2)] = list
    } else throw new Error(`unknown option ${word}: --only, --skip, --hub, --quiet`)
  }
  return options
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // Children share the terminal's signals; leaving through exit gives locks back.
  for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) process.on(signal, () => process.exit(code))
  try {
    await setUp(parse(process.argv.slice(2)))
  } catch (error) {
    console.error(`\nset-up failed: ${error.message}`)
    process.exitCode = 1
  }
}
