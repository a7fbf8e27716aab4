// The packages as they would be published, for projects that install them as a user does.
import { spawn } from 'node:child_process'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pack } from './check/packages.mjs'

/** @returns {Promise<Record<string, string>>} tarballs in `directory` by their packages' names */
export async function packAll(root, directory) {
  const tarballs = {}
  for (const name of readdirSync(join(root, 'packages'))) {
    const { name: full } = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'))
    tarballs[full] = join(directory, await pack(join(root, 'packages', name), directory))
  }
  return tarballs
}

/** A project's own dependencies, ours replaced by the tarballs, all of them, so that nothing of ours is looked up elsewhere. */
export function usePacked(root, file, tarballs) {
  const manifest = JSON.parse(readFileSync(file, 'utf8'))
  const wanted = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })
  manifest.devDependencies = { ...manifest.devDependencies }
  for (const [name, path] of Object.entries(tarballs)) {
    if (!wanted.includes(name) && !['@mayfly/core', '@mayfly/native'].includes(name)) continue
    delete manifest.dependencies?.[name]
    manifest.devDependencies[name] = `file:${path}`
  }
  // The overrides that keep npm's lock whole on registries that lack some platform packages.
  manifest.overrides = { ...JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).overrides, ...manifest.overrides }
  writeFileSync(file, JSON.stringify(manifest, null, 2))
}

/** Runs a command to its end; rejects unless it ends with 0. */
export function must(command, words, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { stdio: ['ignore', 'inherit', 'inherit'], ...options })
    child.once('error', reject)
    child.once('close', (code, signal) => code === 0 ? resolve() : reject(new Error(`${command} ${words.join(' ')} ended with ${signal ?? code}`)))
  })
}
