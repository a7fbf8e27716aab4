import { spawn } from 'node:child_process'

import { isError, MayflyError } from '../errors.js'
import type { Credentials } from './credentials.js'
import type { Environment } from './settings.js'

/** A helper may ask its user, or a cloud. */
const PATIENCE = 30_000

/** What a helper knows of a server; `undefined` when it knows nothing. Throws ERR_MAYFLY_REGISTRY_UNAUTHORIZED when it fails. */
export async function askHelper(name: string, server: string, env: Environment = process.env): Promise<Credentials | undefined> {
  const { code, output } = await call(name, 'get', server, env)
  // Helpers say so in words, and end with 1.
  if (code !== 0 && /credentials not found|no credentials|not found in native keychain/i.test(output)) return undefined
  if (code !== 0) throw failed(name, 'get', server, output)
  try {
    const { Username: username, Secret: secret } = JSON.parse(output) as { Username?: unknown, Secret?: unknown }
    if (typeof username !== 'string' || typeof secret !== 'string') throw new Error('it names no user')
    return username === '<token>' ? { username: '', password: '', identityToken: secret } : { username, password: secret }
  } catch (cause) {
    throw failed(name, 'get', server, isError(cause) && cause.name !== 'SyntaxError' ? cause.message : 'it did not answer in JSON')
  }
}

/** Has a helper keep credentials, or forget them. */
export async function tellHelper(name: string, server: string, credentials: Credentials | undefined, env: Environment = process.env): Promise<void> {
  const word = credentials === undefined ? 'erase' : 'store'
  const input = credentials === undefined ? server : JSON.stringify({
    ServerURL: server,
    Username: credentials.identityToken === undefined ? credentials.username : '<token>',
    Secret: credentials.identityToken ?? credentials.password,
  })
  const { code, output } = await call(name, word, input, env)
  if (code !== 0 && !(word === 'erase' && /not found/i.test(output))) throw failed(name, word, server, word === 'store' ? '' : output)
}

function call(name: string, word: string, input: string, env: Environment): Promise<{ code: number | null, output: string }> {
  return new Promise((resolve, reject) => {
    // A name, never a path: it comes from a file that others may have written.
    if (!/^[\w.-]+$/.test(name)) return void reject(failed(name, word, '', 'its name is none'))
    const child = spawn(`docker-credential-${name}`, [word], { env: env as NodeJS.ProcessEnv, stdio: ['pipe', 'pipe', 'pipe'], timeout: PATIENCE })
    let output = ''
    let trouble = ''
    child.stdout.on('data', (chunk: Buffer) => void (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => void (trouble += chunk.toString()))
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    child.once('error', (cause: NodeJS.ErrnoException) => {
      reject(failed(name, word, '', cause.code === 'ENOENT' ? `docker-credential-${name} is not on the PATH` : cause.message))
    })
    child.once('close', (code, signal) => resolve({ code: signal === null ? code : -1, output: signal === null ? output || trouble : `it was ended by ${signal}` }))
  })
}

function failed(name: string, word: string, server: string, why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_REGISTRY_UNAUTHORIZED', `The credential helper ${name} failed to ${word}${server === '' ? '' : ` for ${server}`}${why === '' ? '' : `: ${why.trim().slice(0, 300)}`}`, {
    hint: `Run it by hand: echo ${server || 'SERVER'} | docker-credential-${name} get; or take it out of Docker's config.json.`,
  })
}
