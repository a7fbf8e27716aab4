import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

export interface Entry { readonly name: string, readonly content?: string | Buffer, readonly type?: '0' | '1' | '2' | '5', readonly target?: string, readonly mode?: number }

/** A plain ustar archive. */
export function tar(entries: readonly Entry[]): Buffer {
  const blocks = entries.flatMap(({ name, content = '', type = '0', target = '', mode = 0o644 }) => {
    const header = Buffer.alloc(512)
    header.write(name, 0)
    header.write(`${mode.toString(8).padStart(7, '0')}\0`, 100)
    header.write('0000000\0', 108)
    header.write('0000000\0', 116)
    header.write(`${Buffer.byteLength(content).toString(8).padStart(11, '0')}\0`, 124)
    header.write('00000000000\0', 136)
    header.write('        ', 148)
    header.write(type, 156)
    header.write(target, 157)
    header.write('ustar\x0000', 257)
    header.write(`${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148)
    const body = Buffer.alloc(Math.ceil(Buffer.byteLength(content) / 512) * 512)
    body.set(Buffer.from(content))
    return [header, body]
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

export function sha256(bytes: Buffer | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

export interface FakeRegistry {
  readonly host: string
  readonly origin: string
  /** Requests seen, as `METHOD path`. */
  readonly seen: string[]
  readonly blobs: Map<string, Buffer>
  readonly manifests: Map<string, Buffer>
  /** Answers first when it returns true. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean
  add(repository: string, tag: string, layers: readonly Buffer[], options?: { diffIds?: readonly string[], config?: object, document?: object }): string
  close(): Promise<void>
}

/** A registry on loopback that serves what it is told to, faults included. */
export async function fakeRegistry(): Promise<FakeRegistry> {
  const blobs = new Map<string, Buffer>()
  const manifests = new Map<string, Buffer>()
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`)
    if (registry.intercept(request, response)) return
    const path = decodeURIComponent(request.url ?? '')
    const body = /\/blobs\//.test(path) ? blobs.get(path.replace(/.*\//, '')) : manifests.get(path.replace('/v2/', ''))
    const named = body !== undefined && path.includes('/manifests/') ? { 'docker-content-digest': sha256(body) } : {}
    response.writeHead(body === undefined ? 404 : 200, named)
    response.end(body ?? '{}')
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const registry: FakeRegistry = {
    host,
    origin: `http://${host}`,
    seen,
    blobs,
    manifests,
    intercept: () => false,
    add: (repository, tag, layers, { diffIds = layers.map(sha256), config = {}, document = {} } = {}) => {
      const configBytes = Buffer.from(JSON.stringify({
        os: 'linux', architecture: 'amd64', ...document, config, rootfs: { type: 'layers', diff_ids: diffIds },
      }))
      blobs.set(sha256(configBytes), configBytes)
      const compressed = layers.map((layer) => gzipSync(layer))
      for (const blob of compressed) blobs.set(sha256(blob), blob)
      const descriptor = (mediaType: string, bytes: Buffer): object => ({ mediaType, digest: sha256(bytes), size: bytes.length })
      const manifest = Buffer.from(JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: descriptor('application/vnd.oci.image.config.v1+json', configBytes),
        layers: compressed.map((blob) => descriptor('application/vnd.oci.image.layer.v1.tar+gzip', blob)),
      }))
      manifests.set(`${repository}/manifests/${tag}`, manifest)
      manifests.set(`${repository}/manifests/${sha256(manifest)}`, manifest)
      return sha256(manifest)
    },
    close: () => new Promise((resolve) => {
      server.close(() => { resolve() })
      server.closeAllConnections()
    }),
  }
  return registry
}

/** A directory for a store that is deleted when the scope ends. */
export async function temporaryHome(): Promise<{ path: string, remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'mayfly-store-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}
