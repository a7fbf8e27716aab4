import { createPrivateKey, randomUUID, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

import type { Authority } from '../../packages/core/test/registry/authority.js'

export interface TokenServer {
  readonly realm: string
  readonly service: string
  readonly issuer: string
  /** What was asked of it, as `METHOD who scope…`. */
  readonly asked: string[]
  /** Refresh tokens that are good for `user`'s rights. */
  readonly refresh: Set<string>
  close(): Promise<void>
}

/**
 * Gives everybody tokens for pulling `public/…`, and `user` for all they ask, as the registry's token specification has it: by
 * GET with a password, by POST with a refresh token.
 */
export async function tokenServer(own: Authority, user: { readonly name: string, readonly password: string }): Promise<TokenServer> {
  const signer = own.certify('a token server')
  const basic = `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}`
  const asked: string[] = []
  const refresh = new Set<string>()
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => { body += chunk.toString() })
    request.on('end', () => {
      const query = request.method === 'POST' ? new URLSearchParams(body) : new URL(request.url ?? '', 'http://x').searchParams
      const { authorization } = request.headers
      const known = request.method === 'POST' ? refresh.has(query.get('refresh_token') ?? '') : authorization === basic
      asked.push([request.method, known ? user.name : 'nobody', ...query.getAll('scope')].join(' '))
      if (query.get('service') !== service || (!known && (authorization !== undefined || request.method === 'POST'))) return void response.writeHead(401).end()
      const scopes = query.getAll('scope').flatMap((one) => one.split(' ')).map((one) => one.split(':'))
      const access = scopes.map(([type = '', name = '', actions = '']) => ({
        type, name, actions: actions.split(',').filter((action) => known || (action === 'pull' && name.startsWith('public/'))),
      })).filter(({ actions }) => actions.length > 0)
      const token = jwt({ iss: issuer, aud: service, sub: known ? user.name : '', access }, signer)
      response.setHeader('content-type', 'application/json').end(JSON.stringify(request.method === 'POST' ? { access_token: token } : { token }))
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const [service, issuer] = ['registry of a test', 'token server of a test']
  return {
    realm: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/token`, service, issuer, asked, refresh,
    close: () => new Promise((resolve) => {
      server.close(() => { resolve() })
      server.closeAllConnections()
    }),
  }
}

function jwt(claims: object, { certificate, key }: { certificate: string, key: string }): string {
  const chain = certificate.replace(/-----[A-Z ]+-----|\n/g, '')
  const now = Math.floor(Date.now() / 1000)
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const content = `${encode({ typ: 'JWT', alg: 'ES256', x5c: [chain] })}.${encode({ ...claims, iat: now, nbf: now - 10, exp: now + 300, jti: randomUUID() })}`
  return `${content}.${sign('sha256', Buffer.from(content), { key: createPrivateKey(key), dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}
