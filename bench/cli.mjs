import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { compete } from './measure.mjs'
import { installed } from './processes.mjs'

const execute = promisify(execFile)
const main = fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url))

/** Whole processes of the command line: `run --rm busybox true`; further case: `ps`. The floor is a Node that does nothing. */
export async function cli(setting) {
  const { docker } = setting
  const image = await docker.image?.('busybox')
  const root = await setting.rootfs('busybox')
  const whole = (file, words) => async () => {
    const began = performance.now()
    await execute(file, words)
    return performance.now() - began
  }
  const mayfly = (...words) => ({ name: 'mayfly', once: whole(process.execPath, [main, ...words]) })
  const floor = { name: 'floor', once: whole(process.execPath, ['-e', '0']) }
  const viaDocker = (...words) => ({ name: 'docker', absent: docker.absent, once: whole('docker', words) })
  const viaPodman = (...words) => ({ name: 'podman', absent: installed('podman') ? undefined : 'podman is not installed', once: whole('podman', words) })
  await execute(process.execPath, [main, 'pull', '-q', 'busybox'])
  const run = await compete([
    mayfly('run', '--rm', 'busybox', 'true'), floor, viaDocker('run', '--rm', image, 'true'),
    viaPodman('run', '--rm', '--runtime', 'runc', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024', '--rootfs', root, 'true'),
  ], { rounds: 20 })
  const ps = await compete([mayfly('ps'), floor, viaDocker('ps'), viaPodman('ps')], { rounds: 20 })
  return { name: 'cli', unit: 'ms', ...run, series: [{ case: 'ps', ...ps }] }
}
