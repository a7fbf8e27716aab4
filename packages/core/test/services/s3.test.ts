import { createServer, type IncomingMessage } from 'node:http'
import { expect, test } from 'vitest'
import { signed } from '../../src/services/presets/s3-client.js'
import type { Server } from '../../src/services/presets/types.js'
import { standingIn, stateOf } from './stand-in.js'

interface Version { id: string; text: string; type: string; time: string; marker: boolean }

/** A store that answers as the interface's documentation says; each page of a list has three entries. */
class StandIn {
  readonly buckets = new Map<string, Map<string, Version[]>>()
  readonly versioned = new Set<string>()
  readonly asked: string[] = []
  #clock = 0

  async open(): Promise<Server> {
    const listener = createServer((request, response) => {
      let body = ''
      request.on('data', (text: Buffer) => { body += text.toString() })
      request.on('end', () => {
        const [status, text] = this.#answer(request, body)
        response.writeHead(status).end(text)
      })
    })
    return await standingIn(listener, { MINIO_ROOT_USER: 'me', MINIO_ROOT_PASSWORD: 'it\'s secret' })
  }

  put(bucket: string, key: string, text: string, type = 'text/plain'): Version {
    const objects = this.buckets.get(bucket) ?? new Map<string, Version[]>()
    this.buckets.set(bucket, objects)
    const many = this.versioned.has(bucket)
    const version = { id: many ? `v${String(this.#clock += 1)}` : 'null', text, type, time: new Date(this.#clock += 1).toISOString(), marker: false }
    objects.set(key, [version, ...many ? objects.get(key) ?? [] : []])
    return version
  }

  delete(bucket: string, key: string): void {
    const objects = this.buckets.get(bucket) ?? expect.fail()
    if (!this.versioned.has(bucket)) objects.delete(key)
    else objects.set(key, [{ ...this.put(bucket, key, ''), marker: true }, ...(objects.get(key) ?? []).slice(1)])
  }

  /** What readers see. */
  contents(): Record<string, Record<string, string>> {
    return Object.fromEntries([...this.buckets].map(([bucket, objects]) => [bucket, Object.fromEntries([...objects].flatMap(([key, [first]]) => first === undefined || first.marker ? [] : [[key, `${first.text} as ${first.type}`]]))]))
  }

  #answer(request: IncomingMessage, body: string): [number, string] {
    const { method = '', headers } = request
    const url = new URL(request.url ?? '', 'http://x')
    const [, bucket = '', ...rest] = decodeURIComponent(url.pathname).split('/')
    const key = rest.join('/')
    const query = Object.fromEntries(url.searchParams)
    const own = Object.fromEntries(['host', 'x-amz-copy-source'].flatMap(name => headers[name] === undefined ? [] : [[name, String(headers[name])]]))
    const time = String(headers['x-amz-date']).replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z')
    const expected = signed({ accessKey: 'me', secretKey: 'it\'s secret', region: 'us-east-1' }, { method: method as 'GET', path: decodeURIComponent(url.pathname), query, headers: own, body }, new Date(time))
    if (headers.authorization !== expected['authorization']) return [403, '<Error><Code>SignatureDoesNotMatch</Code><Message>No.</Message></Error>']
    if (method !== 'GET') this.asked.push(`${method} ${decodeURIComponent(url.pathname)}`)
    const objects = this.buckets.get(bucket)
    if (method === 'GET' && bucket === '') return [200, `<ListAllMyBucketsResult><Owner><ID>x</ID></Owner><Buckets>${[...this.buckets.keys()].map(name => `<Bucket><Name>${name}</Name><CreationDate>1</CreationDate></Bucket>`).join('')}</Buckets></ListAllMyBucketsResult>`]
    if (method === 'PUT' && key === '') return this.buckets.set(bucket, new Map()) && [200, '']
    if (objects === undefined) return [404, '<Error><Code>NoSuchBucket</Code><Message>None.</Message></Error>']
    if (method === 'GET' && key === '') {
      const all = [...objects].sort(([a], [b]) => a < b ? -1 : 1).flatMap(([name, versions]) => versions.map((one, nth) => ({ name, latest: nth === 0, ...one })))
      const from = query['key-marker'] === undefined ? 0 : all.findIndex(({ name, id }) => name === query['key-marker'] && id === query['version-id-marker']) + 1
      const page = all.slice(from, from + 3)
      const last = page.at(-1)
      const entries = page.map(({ name, id, latest, text, marker, time: at }) => {
        const tag = marker ? 'DeleteMarker' : 'Version'
        return `<${tag}><Key>${xml(name)}</Key><VersionId>${id}</VersionId><IsLatest>${String(latest)}</IsLatest><LastModified>${at}</LastModified>${marker ? '' : `<ETag>&#34;${String(text.length)}&#34;</ETag>`}</${tag}>`
      })
      const more = from + 3 < all.length
      return [200, `<ListVersionsResult xmlns="x"><IsTruncated>${String(more)}</IsTruncated>${more ? `<NextKeyMarker>${xml(last?.name ?? '')}</NextKeyMarker><NextVersionIdMarker>${last?.id ?? ''}</NextVersionIdMarker>` : ''}${entries.join('')}</ListVersionsResult>`]
    }
    if (method === 'GET') return [200, objects.get(key)?.[0]?.text ?? expect.fail(key)]
    if (method === 'DELETE' && key === '') return objects.size > 0 ? [409, '<Error><Code>BucketNotEmpty</Code><Message>Not.</Message></Error>'] : (this.buckets.delete(bucket), [204, ''])
    if (method === 'DELETE') {
      const left = (objects.get(key) ?? []).filter(({ id }) => id !== query['versionId'])
      if (left.length > 0) objects.set(key, left)
      else objects.delete(key)
      return [204, '']
    }
    const from = headers['x-amz-copy-source']
    if (from === undefined) return this.put(bucket, key, body, 'application/octet-stream') && [200, '']
    const [, source = '', ...words] = decodeURIComponent(String(from)).split('/')
    const { text, type } = this.buckets.get(source)?.get(words.join('/'))?.[0] ?? expect.fail(String(from))
    return [200, `<CopyObjectResult><LastModified>${this.put(bucket, key, text, type).time}</LastModified><ETag>&#34;${String(text.length)}&#34;</ETag></CopyObjectResult>`]
  }
}

const xml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
const state = stateOf('minio')

test('MinIO: buckets and objects are as prepared, and what was not touched is not touched', async () => {
  const minio = new StandIn()
  const server = await minio.open()
  minio.versioned.add('history')
  for (const [bucket, key] of [['photos', 'a/b & c (1).png'], ['photos', 'two'], ['photos', 'three'], ['photos', 'four'], ['history', 'page']] as const) minio.put(bucket, key, `content of ${key}`, 'image/png')
  minio.put('history', 'page', 'second')
  minio.buckets.set('empty', new Map())
  const before = minio.contents()
  await state.keep?.(server)
  const kept = minio.contents()['mayfly-kept']
  expect(Object.keys(kept ?? {}).sort()).toEqual(['.index', 'history/page', 'photos/a/b & c (1).png', 'photos/four', 'photos/three', 'photos/two'])

  minio.put('photos', 'two', 'content of TWO')
  minio.put('photos', 'new', 'x')
  minio.delete('photos', 'a/b & c (1).png')
  minio.delete('history', 'page')
  minio.put('extra', 'x', 'x')
  minio.buckets.delete('empty')
  minio.asked.length = 0
  await state.restore(server)
  const { 'mayfly-kept': _, ...after } = minio.contents()
  expect(after).toEqual(before)
  expect(minio.asked).not.toContain('PUT /photos/three')

  // As it is, it stays; copies that came back are told from others.
  minio.asked.length = 0
  await state.restore(server)
  expect(minio.asked).toEqual([])
})

test('MinIO that was not prepared is emptied', async () => {
  const minio = new StandIn()
  const server = await minio.open()
  minio.put('new', 'a', 'b')
  expect(state.beginsEmpty).toBe(true)
  await state.restore(server)
  expect(minio.contents()).toEqual({})
})

test('a store that refuses is an error with its words', async () => {
  const minio = new StandIn()
  const { container } = await minio.open()
  await expect(state.restore({ container, env: {} })).rejects.toMatchObject({ code: 'ERR_MAYFLY_RESET_FAILED', message: expect.stringContaining('GET /: 403 SignatureDoesNotMatch No.') as string })
})

test('requests are signed as the interface\'s documentation has it', () => {
  // [Examples of signature calculations: GET Object; List Objects]
  const access = { accessKey: 'AKIAIOSFODNN7EXAMPLE', secretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', region: 'us-east-1' }
  const host = 'examplebucket.s3.amazonaws.com'
  const time = new Date('2013-05-24T00:00:00Z')
  expect(signed(access, { method: 'GET', path: '/test.txt', headers: { host, range: 'bytes=0-9' } }, time)['authorization']).toContain('Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41')
  expect(signed(access, { method: 'GET', path: '/', query: { 'max-keys': '2', prefix: 'J' }, headers: { host } }, time)['authorization']).toContain('Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7')
})
