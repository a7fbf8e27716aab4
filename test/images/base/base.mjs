// What the images of a Debian suite are built from: a root file system, and the packages of each image.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createWriteStream, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { createGzip } from 'node:zlib'
import { acquireOptions, debianSources } from '../apt.mjs'

/** Every timestamp of every image, so that the same packages give the same digests. */
export const epoch = 1735689600

const hook = fileURLToPath(new URL('customize.sh', import.meta.url))
const excludes = ['doc/*', 'man/*', 'info/*', 'locale/*', 'groff/*', 'lintian/*', 'linda/*']
const options = [
  '--quiet', '--mode=root', '--variant=minbase', '--skip=check/empty,cleanup/reproducible,output/dev', '--format=tar',
  ...excludes.map((path) => `--dpkgopt=path-exclude=/usr/share/${path}`),
  '--dpkgopt=path-include=/usr/share/doc/*/copyright', '--dpkgopt=path-include=/usr/share/locale/locale.alias',
]

/**
 * What a base depends on, but for what the mirror has at the time.
 * @param {string} suite @param {Record<string, string[]>} packages  by image
 */
export function baseKey(suite, packages) {
  return createHash('sha256').update(JSON.stringify([suite, packages, options, epoch, process.arch])).update(readFileSync(hook)).digest('hex').slice(0, 16)
}

/**
 * Makes `directory`: rootfs.tar.gz, and packages/IMAGE with the packages of each image and those they need. Works on a
 * tmpfs in mount and pid namespaces of its own: nothing is left, however it ends.
 * @param {string} suite @param {Record<string, string[]>} packages @param {string} directory
 */
export async function makeBase(suite, packages, directory) {
  if (existsSync(directory)) return
  const sources = debianSources(suite)
  if (sources === undefined) throw new Error('apt on this machine knows no Debian mirror: set MAYFLY_DEBIAN_MIRROR')
  const temporary = join(dirname(directory), `tmp-base-${suite}-${process.pid}`)
  const [scratch, downloads] = [join(temporary, 'scratch'), join(temporary, 'packages')]
  mkdirSync(scratch, { recursive: true })
  mkdirSync(downloads)
  const list = join(temporary, 'list')
  writeFileSync(list, Object.entries(packages).map(([image, words]) => `${image} ${words.join(' ')}\n`).join(''))
  const child = spawn('setpriv', [
    '--pdeathsig', 'KILL', '--', 'unshare', '--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc',
    'sh', '-euc', 'mount -t tmpfs -o size=6g,mode=1777 tmpfs "$TMPDIR"; exec "$@"', 'sh',
    'mmdebstrap', ...options, ...acquireOptions().map((line) => `--aptopt=${line}`), `--customize-hook=${hook} "$1"`, suite, '-', ...sources,
  ], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch), TMPDIR: scratch, MAYFLY_LIST: list, MAYFLY_DOWNLOADS: downloads },
  })
  try {
    let complaint = ''
    child.stderr.on('data', (chunk) => { complaint = (complaint + chunk).slice(-8000) })
    const ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => (code === 0 ? resolve(undefined) : reject(new Error(`making Debian ${suite} failed (${code})\n${complaint}`))))
    })
    await Promise.all([ended, pipeline(child.stdout, createGzip({ level: 1 }), createWriteStream(join(temporary, 'rootfs.tar.gz')))])
    rmSync(scratch, { recursive: true })
    rmSync(list)
    renameSync(temporary, directory)
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}
