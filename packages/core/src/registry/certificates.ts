import { readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'

import { MayflyError, messageOf } from '../errors.js'
import type { Environment } from './settings.js'

/** What a registry's directory of certificates has. [Docker: "Verify repository client with certificates"; containers-certs.d(5)] */
export interface HostCertificates {
  /** Its `*.crt`: authorities. */
  readonly authorities: readonly string[]
  /** A `*.cert` and the `*.key` of the same name: who we are. */
  readonly client: { readonly cert: string, readonly key: string } | undefined
}

/** Where the machine keeps the authorities it trusts: Debian, Fedora, openSUSE, Alpine. */
const SYSTEM = ['ssl/certs/ca-certificates.crt', 'pki/tls/certs/ca-bundle.crt', 'ssl/ca-bundle.pem', 'ssl/cert.pem']

/** The directories that may speak of a host, the user's first. */
export function certificateDirectories(host: string, env: Environment = process.env, etc = '/etc'): string[] {
  const home = env['HOME'] ?? homedir()
  const config = env['XDG_CONFIG_HOME'] ?? join(home, '.config')
  const docker = env['DOCKER_CONFIG'] ?? join(home, '.docker')
  return [join(docker, 'certs.d'), join(config, 'docker/certs.d'), join(config, 'containers/certs.d'), join(etc, 'containers/certs.d'), join(etc, 'docker/certs.d')]
    .map((directory) => join(directory, host))
}

/** What is kept for a host, `undefined` for nothing. Throws ERR_MAYFLY_CONFIG_INVALID for a certificate without its key. */
export function certificatesOf(host: string, env: Environment = process.env, etc = '/etc'): HostCertificates | undefined {
  const authorities: string[] = []
  let client: HostCertificates['client']
  for (const directory of certificateDirectories(host, env, etc)) {
    const names = list(directory)
    authorities.push(...names.filter((name) => name.endsWith('.crt')).map((name) => read(join(directory, name))))
    for (const name of names.filter((one) => one.endsWith('.cert'))) {
      const key = name.replace(/cert$/, 'key')
      if (!names.includes(key)) throw invalid(join(directory, name), `${key} is missing beside it`)
      client ??= { cert: read(join(directory, name)), key: read(join(directory, key)) }
    }
  }
  return authorities.length === 0 && client === undefined ? undefined : { authorities, client }
}

/** Node's own authorities, the machine's, those the environment names and the host's. */
export function secureContext(own: HostCertificates | undefined, env: Environment = process.env, etc = '/etc'): SecureContext {
  const named = [env['NODE_EXTRA_CA_CERTS'], env['SSL_CERT_FILE']].filter((path) => path !== undefined && path !== '').map((path) => read(path ?? ''))
  const ca = [...rootCertificates, ...system(etc), ...named, ...own?.authorities ?? []]
  try {
    return createSecureContext({ ca, ...own?.client })
  } catch (cause) {
    throw invalid('A certificate of a registry', messageOf(cause), cause)
  }
}

function system(etc: string): string[] {
  for (const name of SYSTEM) {
    try {
      return [readFileSync(join(etc, name), 'utf8')]
    } catch {
      // Another system's place.
    }
  }
  return []
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw invalid(path, (cause as NodeJS.ErrnoException).code ?? '', cause)
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory).sort()
  } catch {
    return []
  }
}

function invalid(path: string, why: string, cause?: unknown): MayflyError {
  return new MayflyError('ERR_MAYFLY_CONFIG_INVALID', `${path} cannot be used: ${why}`, { cause, hint: 'Certificates and keys are PEM files: *.crt for authorities, name.cert and name.key for a client.' })
}
