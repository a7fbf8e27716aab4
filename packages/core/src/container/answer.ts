import type { IncomingMessage } from 'node:http'

import { isError } from '../errors.js'
import type { HttpWaitOptions } from './types.js'

const PATIENCE = 10_000

/** Why the answer to a request is not the wanted one; undefined when it is. */
export async function whatIsWrong(url: URL, options: HttpWaitOptions, signal: AbortSignal): Promise<string | undefined> {
  const { status, body, answer } = options
  let response: IncomingMessage
  let text: string
  try {
    [response, text] = await ask(url, options, signal)
  } catch (error) {
    return isError(error) ? `no answer: ${error.message}` : 'no answer'
  }
  const code = response.statusCode ?? 0
  const fits = status === undefined ? code >= 200 && code < 400
    : typeof status === 'function' ? status(code) : typeof status === 'number' ? code === status : status.includes(code)
  if (!fits) return `status ${code}`
  for (const [name, wanted] of Object.entries(answer ?? {})) {
    const value = [response.headers[name.toLowerCase()] ?? []].flat().join(', ')
    if (!(typeof wanted === 'string' ? value === wanted : value.search(wanted) >= 0)) return `status ${code} with header ${name}: ${value === '' ? 'none' : value}`
  }
  const good = body === undefined || (typeof body === 'function' ? body(text) : typeof body === 'string' ? text.includes(body) : text.search(body) >= 0)
  return good ? undefined : `status ${code} with the body ${JSON.stringify(text.slice(0, 200))}`
}

async function ask(url: URL, { auth, headers = {}, method = 'GET', tls, send, patience = PATIENCE }: HttpWaitOptions, signal: AbortSignal): Promise<[IncomingMessage, string]> {
  const { request } = tls === undefined || tls === false ? await import('node:http') : await import('node:https')
  const secure = typeof tls === 'object' ? { ...(tls.ca === undefined ? {} : { ca: tls.ca }), ...(tls.servername === undefined ? {} : { servername: tls.servername }), rejectUnauthorized: tls.insecure !== true } : {}
  return new Promise((resolve, reject) => {
    const asked = request(url, {
      method, headers, signal, agent: false, timeout: patience, ...secure, ...(auth === undefined ? {} : { auth: `${auth.user}:${auth.password}` }),
    }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (piece: string) => { if (text.length < 1 << 20) text += piece })
      response.once('end', () => resolve([response, text]))
      response.once('error', reject)
    })
    asked.once('timeout', () => { asked.destroy(new Error(`silence for ${patience} ms`)) })
    asked.once('error', reject)
    asked.end(send)
  })
}
