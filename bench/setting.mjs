import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installed } from './processes.mjs'

/**
 * What the benchmarks stand on: the built library, a registry, root file systems for the rivals. Ended by `close`.
 */
export async function makeSetting() {
  let registry
  if (process.env.MAYFLY_REGISTRY_MIRROR === undefined) {
    const { startRegistry } = await import('../test/images/registry.mjs')
    registry = await startRegistry()
    process.env.MAYFLY_REGISTRY_MIRROR = registry.mirror
  }
  const scratch = mkdtempSync(join(tmpdir(), 'mf-bench-'))
  const core = await import('@mayfly/core')
  const engine = await import('@mayfly/core/engine')
  const roots = new Map()
  return {
    core,
    scratch,
    /** The image's file system as plain directories, for those that know no images. */
    async rootfs(name) {
      if (roots.has(name)) return roots.get(name)
      const image = await engine.pullImage(await engine.openStore(), engine.parseReference(name))
      const root = join(scratch, `root-${name}`)
      mkdirSync(root)
      for (const layer of [...image.layers].reverse()) execFileSync('cp', ['-a', `${layer}/.`, root])
      roots.set(name, root)
      return root
    },
    async close() {
      rmSync(scratch, { recursive: true, force: true })
      await registry?.close()
    },
  }
}

/** Runs nothing but waits for nothing either: the start is over when the program is executed. */
export const executed = { description: 'nothing', acceptsExit: true, ready: async () => undefined }

/** The OCI runtimes and bubblewrap on a root file system. @returns {Promise<{ name: string, absent?: string, words?: () => [string, string[]] }[]>} */
export async function lowLevelRivals(setting, image, command) {
  const root = await setting.rootfs(image)
  let count = 0
  const oci = (name, ...flags) => {
    if (!installed(name)) return { name, absent: `${name} is not installed` }
    const bundle = join(setting.scratch, `bundle-${name}`)
    mkdirSync(bundle)
    execFileSync(name, ['spec'], { cwd: bundle })
    const file = join(bundle, 'config.json')
    const config = JSON.parse(readFileSync(file, 'utf8'))
    config.root = { path: root, readonly: true }
    config.process = { ...config.process, terminal: false, args: command }
    writeFileSync(file, JSON.stringify(config))
    return { name, words: () => [name, [...flags, 'run', '--bundle', bundle, `mf-bench-${process.pid}-${count++}`]] }
  }
  return [
    oci('runc'),
    oci('crun', '--cgroup-manager=disabled'),
    installed('bwrap')
      ? { name: 'bwrap', words: () => ['bwrap', ['--ro-bind', root, '/', '--proc', '/proc', '--dev', '/dev', '--unshare-all', '--die-with-parent', '--', ...command]] }
      : { name: 'bwrap', absent: 'bwrap is not installed' },
    installed('podman')
      ? { name: 'podman', words: () => ['podman', ['run', '--rm', '--rootfs', root, ...command]] }
      : { name: 'podman', absent: 'podman is not installed' },
  ]
}

/** testcontainers, when both it and a Docker daemon are there. */
export async function testcontainers() {
  const name = 'docker+testcontainers'
  if (!installed('docker')) return { name, absent: 'docker is not installed' }
  try {
    execFileSync('docker', ['info'], { stdio: 'ignore', timeout: 10_000 })
  } catch {
    return { name, absent: 'there is no Docker daemon' }
  }
  try {
    createRequire(import.meta.url).resolve('testcontainers')
  } catch {
    return { name, absent: 'testcontainers is not installed' }
  }
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true'
  return { name, library: await import('testcontainers') }
}
