import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDocker, testcontainersOf } from './docker.mjs'
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
  const docker = process.env.MAYFLY_BENCH_DOCKER === 'off' ? { absent: 'left out' } : await openDocker({ registry })
  const kept = []
  return {
    /** A process that ends with the setting. */
    keep(child) {
      kept.push(child)
      return child
    },
    core,
    scratch,
    docker,
    testcontainers: testcontainersOf(docker),
    /** The image's file system as plain directories, for those that know no images. */
    async rootfs(name) {
      if (roots.has(name)) return roots.get(name)
      const image = await engine.pullImage(await engine.openStore(), engine.parseReference(name))
      const root = join(scratch, `root-${name}`)
      mkdirSync(root)
      for (const layer of [...image.layers].reverse()) {
        execFileSync('cp', ['-a', `${layer}/.`, root])
        // What the layer deletes: the overlay's marks are character devices.
        execFileSync('find', ['.', '-type', 'c', '-exec', 'rm', '-rf', `${root}/{}`, ';'], { cwd: layer })
      }
      roots.set(name, root)
      return root
    },
    async close() {
      for (const child of kept) child.kill('SIGKILL')
      await docker.close?.()
      rmSync(scratch, { recursive: true, force: true })
      await registry?.close()
    },
  }
}

/** `docker run`, the OCI runtimes and bubblewrap, each asked to run the same program. @returns {Promise<{ name: string, absent?: string, words?: () => [string, string[]] }[]>} */
export async function commandRivals(setting, image, command) {
  const root = await setting.rootfs(image)
  const { docker } = setting
  const name = await docker.image?.(image)
  let count = 0
  const oci = (name, ...flags) => {
    if (!installed(name)) return { name, absent: `${name} is not installed` }
    const bundle = mkdtempSync(join(setting.scratch, name))
    execFileSync(name, ['spec'], { cwd: bundle })
    const file = join(bundle, 'config.json')
    const config = JSON.parse(readFileSync(file, 'utf8'))
    config.root = { path: root, readonly: true }
    config.process = { ...config.process, terminal: false, args: command }
    writeFileSync(file, JSON.stringify(config))
    return { name, words: () => [name, [...flags, 'run', '--bundle', bundle, `mf-bench-${process.pid}-${count++}`]] }
  }
  const crun = oci('crun', '--cgroup-manager=disabled')
  const place = crun.absent === undefined ? await pureCgroups(setting) : undefined
  const entered = (pid, program, words) => ['nsenter', ['--target', String(pid), '--mount', program, ...words]]
  return [
    docker.absent === undefined
      ? { name: 'docker', words: () => ['docker', ['run', '--rm', name, ...command]] }
      : { name: 'docker', absent: docker.absent },
    oci('runc'),
    crun.absent === undefined ? { name: 'crun (no cgroups)', words: () => entered(place, ...crun.words()) } : crun,
    installed('bwrap')
      ? { name: 'bwrap', words: () => ['bwrap', ['--ro-bind', root, '/', '--proc', '/proc', '--dev', '/dev', '--unshare-all', '--die-with-parent', '--', ...command]] }
      : { name: 'bwrap', absent: 'bwrap is not installed' },
    installed('podman')
      ? { name: 'podman', words: () => ['podman', ['run', '--rm', '--runtime', 'runc', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024', '--rootfs', root, ...command]] }
      : { name: 'podman', absent: 'podman is not installed' },
  ]
}

/** crun refuses the hybrid layout: it runs where a fresh cgroup2 stands on /sys/fs/cgroup. */
async function pureCgroups(setting) {
  const child = setting.keep(spawn('unshare', ['--mount', 'sh', '-c', 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && echo && exec sleep infinity'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  }))
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
  return child.pid
}
