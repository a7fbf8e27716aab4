import { execFile } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { epoch } from './base/base.mjs'
import { startRegistry } from './registry.mjs'

const execute = promisify(execFile)
const program = fileURLToPath(new URL('../../packages/cli/dist/main.js', import.meta.url))
const dockerfiles = fileURLToPath(new URL('.', import.meta.url))

/**
 * Builds images with the built command line, in a store of its own, into a registry that others of them are pulled from.
 * @param {string} storage  the registry's directory @param {string} directory  for the store, gone with `close`
 */
export async function openBuilder(storage, directory) {
  mkdirSync(directory, { recursive: true })
  const registry = await startRegistry({ storage, writable: true })
  const env = {
    ...process.env, MAYFLY_HOME: join(directory, 'home'), XDG_RUNTIME_DIR: join(directory, 'run'),
    MAYFLY_REGISTRY_MIRROR: registry.mirror, SOURCE_DATE_EPOCH: String(epoch),
  }
  const mayfly = (...words) => execute(process.execPath, [program, ...words], { env, maxBuffer: 1 << 26 }).catch((error) => {
    throw new Error(`mayfly ${words.join(' ')} failed\n${String(error.stderr ?? error.message).slice(-6000)}`)
  })
  return {
    /** @param {import('./images.mjs').ImageRecipe & { name: string }} recipe @param {string} context @param {string} [packages] */
    async build({ name, tags }, context, packages) {
      const further = packages === undefined ? [] : ['--build-context', `packages=${packages}`]
      const names = tags.flatMap((tag) => ['-t', `${name}:${tag}`])
      await mayfly('build', '--network', 'none', '--build-arg', 'DEBIAN_FRONTEND=noninteractive', ...further, ...names, '-f', join(dockerfiles, name, 'Dockerfile'), context)
      const pushed = `${registry.host}/library/${name}:${tags[0]}`
      await mayfly('tag', `${name}:${tags[0]}`, pushed)
      await mayfly('push', '-q', pushed)
      await index(`${registry.url}/v2/library/${name}/manifests`, tags)
    },
    async close() {
      await registry.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Official images are served as an index of platforms, so these are too. */
async function index(manifests, [first, ...others]) {
  const accept = 'application/vnd.oci.image.manifest.v1+json'
  const answer = await fetch(`${manifests}/${first}`, { headers: { accept } })
  const size = (await answer.arrayBuffer()).byteLength
  const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch] ?? process.arch
  const platforms = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ mediaType: accept, digest: answer.headers.get('docker-content-digest'), size, platform: { architecture, os: 'linux' } }],
  })
  for (const tag of [first, ...others]) {
    const put = await fetch(`${manifests}/${tag}`, { method: 'PUT', headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' }, body: platforms })
    if (put.status !== 201) throw new Error(`PUT ${manifests}/${tag} was answered with ${put.status}: ${await put.text()}`)
  }
}
