import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * @typedef {object} RunningRegistry
 * @property {string} url   http://127.0.0.1:PORT
 * @property {string} mirror   for MAYFLY_REGISTRY_MIRROR: this registry and never Docker Hub
 * @property {string} host  127.0.0.1:PORT
 * @property {number} pid
 * @property {() => Promise<void>} close  ends it and waits until it has ended
 * @property {() => Promise<void>} [Symbol.asyncDispose]
 */

/**
 * Starts the CNCF registry on loopback. It dies with the thread that called, even by SIGKILL: call from the
 * main thread, not from a worker thread.
 * @param {{ storage?: string, writable?: boolean, port?: number, htpasswd?: { user: string, password: string },
 *   token?: { realm: string, service: string, issuer: string, rootcertbundle: string },
 *   tls?: { certificate: string, key: string, clientcas?: string[] } }} [options]
 *   storage: directory, by default that of the built images; writable: pushes are accepted (default: only with
 *   an own storage); port: default a free one; htpasswd: basic authentication; token: as the registry's own
 *   configuration has it; tls: paths of PEM files
 * @returns {Promise<RunningRegistry>}
 */
export async function startRegistry(options = {}) {
  const storage = options.storage ?? (await import('./index.mjs')).registryStorage()
  const writable = options.writable ?? options.storage !== undefined
  // An empty registry would say of every image that there is none.
  if (options.storage === undefined) accessSync(storage, constants.R_OK | constants.X_OK)
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? await freePort()
    try {
      return await startOn(port, storage, writable, options)
    } catch (error) {
      // Somebody took the free port in between.
      if (options.port !== undefined || attempt === 5 || !/address already in use/.test(String(error))) throw error
    }
  }
}

async function startOn(port, storage, writable, options) {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-registry-'))
  const host = `127.0.0.1:${port}`
  const url = `${options.tls === undefined ? 'http' : 'https'}://${host}`
  const config = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: storage },
      delete: { enabled: writable },
      maintenance: { uploadpurging: { enabled: false }, readonly: { enabled: !writable } },
    },
    http: {
      addr: host,
      secret: randomBytes(16).toString('hex'),
      ...(options.tls === undefined ? {} : { tls: options.tls }),
    },
    ...(options.token === undefined ? {} : { auth: { token: options.token } }),
    ...(options.htpasswd === undefined ? {} : { auth: { htpasswd: { realm: 'mayfly', path: join(directory, 'htpasswd') } } }),
  }
  if (options.htpasswd !== undefined) writeFileSync(join(directory, 'htpasswd'), passwordLine(options.htpasswd), { mode: 0o600 })
  const file = join(directory, 'config.yml')
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })

  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'docker-registry', 'serve', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH, OTEL_TRACES_EXPORTER: 'none' },
  })
  let complaint = ''
  child.stderr.on('data', (chunk) => { complaint = (complaint + chunk).slice(-4000) })
  let ended = false
  const end = new Promise((resolve) => {
    const finish = () => {
      ended = true
      rmSync(directory, { recursive: true, force: true })
      resolve(undefined)
    }
    child.once('error', (error) => { complaint += error.message; finish() })
    child.once('close', finish)
  })
  const close = async () => {
    child.ref()
    child.stderr.ref?.()
    if (!ended) child.kill('SIGKILL')
    await end
  }
  const deadline = Date.now() + 15_000
  while (!(await answers(port))) {
    if (ended) throw new Error(`docker-registry did not start: ${complaint.trim() || 'is it installed?'}`)
    if (Date.now() > deadline) {
      await close()
      throw new Error(`docker-registry did not listen within 15 s: ${complaint.trim()}`)
    }
  }
  if (ended) throw new Error(`docker-registry did not start: ${complaint.trim()}`)
  // A caller that forgets it is not kept alive by it.
  child.unref()
  child.stderr.unref?.()
  return { url, mirror: `${url},off`, host, pid: /** @type {number} */ (child.pid), close, ...(Symbol.asyncDispose ? { [Symbol.asyncDispose]: close } : {}) }
}

/** Waits a little when nobody listens, so that the caller may simply loop. */
async function answers(port) {
  const { connect } = await import('node:net')
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => { socket.destroy(); resolve(true) })
    socket.once('error', () => setTimeout(resolve, 10, false))
  })
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
      server.close(() => resolve(port))
    })
  })
}

/** The registry takes bcrypt only, and perl is on every Debian; the password goes through stdin. */
function passwordLine({ user, password }) {
  const alphabet = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
  const salt = [...randomBytes(21)].map((byte) => alphabet[byte % 64]).join('') + '.'
  const script = 'my $p = do { local $/; <STDIN> }; print crypt($p, $ARGV[0])'
  const hash = execFileSync('perl', ['-e', script, `$2y$05$${salt}`], { input: password, encoding: 'utf8' })
  if (!hash.startsWith('$2y$')) throw new Error('perl on this machine cannot make bcrypt hashes')
  return `${user}:${hash}\n`
}
