import { isError, MayflyError, messageOf } from '../errors.js'
import { proxyFor } from './proxy.js'
import { registrySettings } from './settings.js'

const UNKNOWN_ISSUER = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_UNTRUSTED', 'CERT_SIGNATURE_FAILURE',
])
const NO_TLS = new Set(['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'ERR_SSL_HTTP_REQUEST', 'EPROTO'])
const NO_HTTP = new Set(['ECONNRESET', 'ECONNREFUSED', 'UND_ERR_SOCKET', 'UND_ERR_CONNECT_TIMEOUT', 'HPE_INVALID_CONSTANT'])
/** Errors before an answer that a new attempt may cure; a refused connection or an unknown name is final. */
const TRANSIENT = new Set(['ECONNRESET', 'EPIPE', 'EAI_AGAIN', 'UND_ERR_SOCKET', 'UND_ERR_HEADERS_TIMEOUT'])
const FAMILIAR: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name is unknown (ENOTFOUND)',
  EAI_AGAIN: 'its name cannot be looked up now (EAI_AGAIN)',
  ECONNREFUSED: 'nobody listens there (ECONNREFUSED)',
  ECONNRESET: 'it closes the connection (ECONNRESET)',
  UND_ERR_SOCKET: 'it closes the connection',
  UND_ERR_CONNECT_TIMEOUT: 'it does not answer within 10 s',
  UND_ERR_HEADERS_TIMEOUT: 'it does not answer (MAYFLY_REGISTRY_TIMEOUT says how many seconds to wait)',
  UND_ERR_BODY_TIMEOUT: 'it fell silent (MAYFLY_REGISTRY_TIMEOUT says how many seconds to wait)',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  CERT_HAS_EXPIRED: 'its certificate has expired, or the clock of this machine is wrong',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet, or the clock of this machine is wrong',
}

export function isUnknownIssuer(error: unknown): boolean {
  return UNKNOWN_ISSUER.has(codeOf(error))
}

/** Whether a server may speak the other one of http and https. */
export function isWrongScheme(error: unknown): boolean {
  return isNoTls(error) || NO_HTTP.has(codeOf(error))
}

export function isTransient(error: unknown): boolean {
  return TRANSIENT.has(codeOf(error))
}

/** What a server of https says to who speaks http. */
export function wantsTls(body: string): boolean {
  return /HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS port/i.test(body)
}

function isNoTls(error: unknown): boolean {
  return NO_TLS.has(codeOf(error)) || (isError(error) && /wrong version number|packet length too long/.test(error.message))
}

/** The error for a registry that could not be asked, with what can be done about it. */
export function unavailable(text: string, cause: unknown): MayflyError {
  const url = new URL(text)
  const { why, hint } = explain(url, cause)
  return new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', `Cannot reach the registry at ${url.origin}: ${why}`, { cause, hint, details: { origin: url.origin } })
}

function explain(url: URL, cause: unknown): { readonly why: string, readonly hint: string } {
  const code = codeOf(cause)
  const directory = `~/.docker/certs.d/${url.host}`
  if (isUnknownIssuer(cause)) {
    return {
      why: `no authority known here vouches for its certificate (${code})`,
      hint: `Put the certificate of its authority into ${directory}/ca.crt, or name it in NODE_EXTRA_CA_CERTS; MAYFLY_INSECURE_REGISTRIES=${url.host} trusts any.`,
    }
  }
  if (/ALERT_(?:CERTIFICATE_REQUIRED|BAD_CERTIFICATE|HANDSHAKE_FAILURE|UNKNOWN_CA)|certificate required|bad certificate/.test(`${code} ${messageOf(cause)}`)) {
    return { why: 'it wants another certificate of ours, or one at all', hint: `Put it into ${directory}/client.cert and its key into ${directory}/client.key.` }
  }
  if (url.protocol === 'https:' && (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET')) {
    // Of the alerts of TLS 1.3, which come late, the client hears no more than this.
    return { why: FAMILIAR[code] ?? code, hint: `If it wants to know who we are: ${directory}/client.cert and ${directory}/client.key. Else check the network and any proxy.` }
  }
  if (isNoTls(cause)) {
    return { why: 'it does not speak https', hint: `If it speaks plain http, and the way there can be trusted: MAYFLY_INSECURE_REGISTRIES=${url.host}` }
  }
  const proxy = proxyFor(url, registrySettings().proxies)
  const refused = /Proxy response \((\d+)\)|Proxy Authentication Required/.exec(messageOf(cause))
  if (proxy !== undefined && refused !== null) {
    const status = refused[1] ?? '407'
    return {
      why: `the proxy ${proxy.host} answered ${status}`,
      hint: status === '407' ? `It wants a user name and password: ${url.protocol === 'https:' ? 'HTTPS' : 'HTTP'}_PROXY=http://user:password@${proxy.host}` : `NO_PROXY=${url.hostname} goes there without it.`,
    }
  }
  const by = proxy === undefined ? '' : ` (through the proxy ${proxy.host})`
  return {
    why: `${FAMILIAR[code] ?? (code || messageOf(cause) || 'unknown error')}${by}`,
    hint: 'Check the network and any proxy; MAYFLY_REGISTRY_MIRROR names a mirror to ask instead of Docker Hub.',
  }
}

function codeOf(error: unknown): string {
  if (!isError(error)) return ''
  if ('code' in error && typeof error.code === 'string') return error.code
  return error.cause === undefined ? '' : codeOf(error.cause)
}
