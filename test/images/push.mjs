import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Pushes every tag of an OCI layout to library/NAME of a registry.
 * @param {string} layout @param {string} url  the registry, for instance http://127.0.0.1:5000
 */
export async function pushLayout(layout, url) {
  const blob = (digest) => readFileSync(join(layout, 'blobs/sha256', digest.slice(7)))
  const done = new Set()
  for (const tagged of JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')).manifests) {
    const [name, tag] = tagged.annotations['org.opencontainers.image.ref.name'].split(':')
    const repository = `${url}/v2/library/${name}`
    for (const descriptor of JSON.parse(blob(tagged.digest)).manifests) {
      if (done.has(name)) continue
      const manifest = JSON.parse(blob(descriptor.digest))
      for (const { digest } of [manifest.config, ...manifest.layers]) await pushBlob(repository, digest, blob(digest))
      await put(`${repository}/manifests/${descriptor.digest}`, descriptor.mediaType, blob(descriptor.digest))
    }
    done.add(name)
    await put(`${repository}/manifests/${tag}`, tagged.mediaType, blob(tagged.digest))
  }
}

async function pushBlob(repository, digest, bytes) {
  if ((await fetch(`${repository}/blobs/${digest}`, { method: 'HEAD' })).ok) return
  const opened = await fetch(`${repository}/blobs/uploads/`, { method: 'POST' })
  if (opened.status !== 202) throw new Error(`${repository}: an upload was answered with ${opened.status}`)
  const location = new URL(opened.headers.get('location'), repository)
  location.searchParams.set('digest', digest)
  await put(location, 'application/octet-stream', bytes)
}

async function put(url, type, body) {
  const answer = await fetch(url, { method: 'PUT', headers: { 'content-type': type }, body })
  if (answer.status !== 201) throw new Error(`PUT ${url} was answered with ${answer.status}: ${await answer.text()}`)
}
