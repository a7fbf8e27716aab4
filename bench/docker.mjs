import { execFile, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { installed } from './processes.mjs'

const execute = promisify(execFile)

/**
 * Docker as a rival: the daemon that runs here, else one started for the benchmark in directories of its own.
 * @param {{ registry?: { url: string } }} setting
 * @returns {Promise<{ absent: string } | { absent?: undefined, image(name: string): Promise<string>, close(): Promise<void> }>}
 */
export async function openDocker({ registry }) {
  if (!installed('docker')) return { absent: 'docker is not installed' }
  let close = async () => undefined
  if (!answers()) {
    const daemon = await startDaemon()
    if (daemon.absent !== undefined) return daemon
    process.env.DOCKER_HOST = daemon.host
    close = daemon.close
  }
  const images = new Map()
  return {
    /** The name under which Docker has the very image that Mayfly runs. */
    image: (name) => {
      if (registry === undefined) return Promise.resolve(name)
      if (!images.has(name)) images.set(name, pull(`${new URL(registry.url).host}/library/${name}`))
      return images.get(name)
    },
    close,
  }
}

/**
 * A Docker daemon in directories of its own.
 * @param {{ data?: string, words?: readonly string[] }} [options] data: where it keeps images, default beside the rest
 * @returns {Promise<{ absent: string } | { absent?: undefined, host: string, pid: number, close(): Promise<void> }>}
 */
export async function startDaemon({ data, words = [] } = {}) {
  if (!installed('docker')) return { absent: 'docker is not installed' }
  if (!installed('dockerd')) return { absent: 'there is no Docker daemon' }
  if (process.geteuid() !== 0) return { absent: 'there is no Docker daemon, and only root can start one' }
  const directory = mkdtempSync(join(tmpdir(), 'mf-dockerd-'))
  const socket = join(directory, 'docker.sock')
  for (const name of ['data', 'exec']) mkdirSync(join(directory, name))
  const daemon = spawn('dockerd', [
    '--data-root', data ?? join(directory, 'data'), '--exec-root', join(directory, 'exec'), '-H', `unix://${socket}`, '--pidfile', join(directory, 'pid'), ...words,
  ], { stdio: 'ignore' })
  const gone = new Promise((resolve) => daemon.once('close', resolve).once('error', resolve))
  const host = `unix://${socket}`
  const close = async () => {
    daemon.kill('SIGTERM')
    await gone
    rmSync(directory, { recursive: true, force: true })
  }
  if (await Promise.race([ready(socket, host), gone.then(() => false)])) return { host, pid: daemon.pid, close }
  await close()
  return { absent: 'dockerd did not start' }
}

/** testcontainers, when both it and Docker are there. Found in node_modules or on NODE_PATH. */
export function testcontainersOf(docker) {
  const name = 'docker+testcontainers'
  if (docker.absent !== undefined) return { name, absent: docker.absent }
  const load = createRequire(import.meta.url)
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true'
  try {
    return { name, library: load('testcontainers') }
  } catch (error) {
    return { name, absent: error.code === 'MODULE_NOT_FOUND' ? 'testcontainers is not installed' : `testcontainers does not load: ${error.message}` }
  }
}

function answers(host = process.env.DOCKER_HOST) {
  try {
    execFileSync('docker', ['info'], { stdio: 'ignore', timeout: 10_000, env: { ...process.env, ...(host === undefined ? {} : { DOCKER_HOST: host }) } })
    return true
  } catch {
    return false
  }
}

async function ready(socket, host) {
  for (let left = 300; left > 0; left -= 1) {
    if (existsSync(socket) && answers(host)) return true
    await new Promise((resolve) => { setTimeout(resolve, 100) })
  }
  return false
}

async function pull(name) {
  await execute('docker', ['pull', '--quiet', name])
  return name
}
