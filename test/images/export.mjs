// Writes an image as a `docker save` archive, for `docker load` and `podman load`:
//   node test/images/export.mjs NAME[:TAG] FILE
import { execFileSync } from 'node:child_process'
import { linkSync, copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readImage } from './layout.mjs'

/** @param {string} reference  NAME or NAME:TAG @param {string} file */
export function exportImage(reference, file) {
  const [name, tag = 'latest'] = reference.split(':')
  const image = readImage(name, tag)
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-export-'))
  try {
    const blobs = join(directory, 'blobs/sha256')
    mkdirSync(blobs, { recursive: true })
    const members = [image.manifest.config, ...image.manifest.layers].map(({ digest }) => digest.slice(7))
    for (const hex of new Set(members)) place(join(image.layout, 'blobs/sha256', hex), join(blobs, hex))
    const [config, ...layers] = members.map((hex) => `blobs/sha256/${hex}`)
    const names = [`${name}:${tag}`]
    writeFileSync(join(directory, 'manifest.json'), JSON.stringify([{ Config: config, RepoTags: names, Layers: layers }]))
    mkdirSync(dirname(file), { recursive: true })
    execFileSync('tar', ['--sort=name', '--owner=0', '--group=0', '-C', directory, '-cf', `${file}.tmp`, 'manifest.json', 'blobs'])
    renameSync(`${file}.tmp`, file)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function place(from, to) {
  try {
    linkSync(from, to)
  } catch {
    copyFileSync(from, to)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [reference, file] = process.argv.slice(2)
  if (file === undefined) {
    console.error('usage: node test/images/export.mjs NAME[:TAG] FILE')
    process.exitCode = 2
  } else exportImage(reference, file)
}
