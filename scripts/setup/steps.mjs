import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildImages, imageCache, imagesReady } from '../../test/images/index.mjs'
import { run } from './run.mjs'
import { isCurrent, hashFiles, stamp } from './stamp.mjs'
import { installPackages } from './system.mjs'

/**
 * In order; each returns what there is to tell.
 * @type {{ name: string, title: string,
 *   run: (context: { root: string, hub: boolean, say: (text: string) => void }) => Promise<string> }[]}
 */
export const steps = [
  { name: 'system', title: 'system packages', run: ({ hub, say }) => installPackages({ images: !hub && !imagesReady(), registry: !hub, say }) },
  { name: 'deps', title: 'dependencies', run: installDependencies },
  { name: 'native', title: 'native program', run: buildNative },
  { name: 'build', title: 'TypeScript', run: buildTypeScript },
  { name: 'images', title: 'test images', run: makeImages },
]

async function installDependencies({ root, say }) {
  const hash = hashFiles(root, ['package-lock.json', '.npmrc'])
  // The stamp lies in node_modules: removed together with what it vouches for.
  const file = join(root, 'node_modules/.cache/mayfly/deps')
  if (isCurrent(file, hash)) return 'in place'
  say('npm ci')
  await run('npm', ['ci'], { cwd: root })
  stamp(file, hash)
  return 'installed'
}

async function buildNative({ root }) {
  // It keeps a content hash of its own.
  await run(process.execPath, ['packages/native/build.mjs'], { cwd: root })
  return 'built'
}

async function buildTypeScript({ root, say }) {
  const packages = ['core', 'jest-env', 'vitest-plugin', 'cli', 'native']
  const hash = hashFiles(root, [
    'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.base.json', 'scripts/build.mjs', 'packages/native/index.d.ts',
    ...packages.flatMap((name) => ['package.json', 'tsconfig.json', 'tsup.config.ts', ...(name === 'native' ? [] : ['src'])]
      .map((part) => `packages/${name}/${part}`)),
  ])
  const file = join(root, 'node_modules/.cache/mayfly/build')
  if (isCurrent(file, hash) && mainFiles(root, packages).every((path) => existsSync(path))) return 'in place'
  say('npm run build')
  await run('npm', ['run', 'build', '--silent'], { cwd: root })
  stamp(file, hash)
  return 'built'
}

/** What the packages' "main" fields name: a removed dist is noticed. */
function mainFiles(root, packages) {
  return packages.flatMap((name) => {
    const directory = join(root, 'packages', name)
    const { main } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
    return main === undefined ? [] : [join(directory, main)]
  })
}

async function makeImages({ hub, say }) {
  if (hub) return 'from Docker Hub'
  const ready = imagesReady()
  if (!ready && process.getuid?.() !== 0) {
    throw new Error('building the test images needs root: run once as root with the same MAYFLY_TEST_IMAGES, or use --hub')
  }
  await buildImages(say)
  return `${ready ? 'in place' : 'built'} in ${imageCache()}`
}
