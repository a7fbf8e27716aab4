// Builds one family into an OCI layout. Runs in mount and pid namespaces of its own, which index.mjs makes:
// everything is on a tmpfs that vanishes with this process, however it ends.
//   node family.mjs FAMILY LAYOUT
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, chownSync, copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { families } from '../recipes.mjs'
import { acquireOptions, debianSources } from './apt.mjs'
import { epoch, packLayer, putJson, writeWhiteouts } from './layer.mjs'

const [familyName, layout] = process.argv.slice(2)
const family = families[familyName]
const recipes = dirname(dirname(fileURLToPath(import.meta.url)))
const blobs = join(layout, 'blobs/sha256')
const created = new Date(epoch * 1000).toISOString()
const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch] ?? process.arch

mkdirSync(blobs, { recursive: true })
const temporary = join(layout, 'tmpfs')
mkdirSync(temporary)
run('mount', ['-t', 'tmpfs', '-o', 'size=6g,mode=1777', 'tmpfs', temporary])
const root = temporary
const paths = { base: join(root, 'base'), apt: join(root, 'apt') }

step(`${family.suite}: base from packages`)
await makeBase()
const pending = { base: packLayer(paths.base, blobs) }
const index = []
for (const [name, recipe] of Object.entries(family.images)) index.push(await buildImage(name, recipe))
writeFileSync(join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
writeFileSync(join(layout, 'index.json'), JSON.stringify({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.index.v1+json',
  manifests: index.flat(),
}))
run('umount', ['-l', temporary])
rmSync(temporary, { recursive: true })

async function makeBase() {
  const sources = debianSources(family.suite)
  if (sources === undefined) throw new Error('apt on this machine knows no Debian mirror: set MAYFLY_DEBIAN_MIRROR')
  mkdirSync(paths.apt)
  for (const name of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(paths.apt, name), { recursive: true })
  const acquire = acquireOptions()
  const excludes = ['doc/*', 'man/*', 'info/*', 'locale/*', 'groff/*', 'lintian/*', 'linda/*']
  run('mmdebstrap', [
    '--quiet', '--mode=root', '--variant=minbase', '--skip=check/empty,cleanup/reproducible',
    ...acquire.map((line) => `--aptopt=${line}`),
    ...excludes.map((path) => `--dpkgopt=path-exclude=/usr/share/${path}`),
    '--dpkgopt=path-include=/usr/share/doc/*/copyright',
    '--dpkgopt=path-include=/usr/share/locale/locale.alias',
    family.suite, paths.base, ...sources,
  ], { env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch), TMPDIR: root } })
  for (const file of ['etc/apt/apt.conf.d/99mmdebstrap', 'etc/resolv.conf', 'etc/hostname', 'var/cache/ldconfig/aux-cache']) {
    rmSync(join(paths.base, file), { force: true })
  }
  for (const directory of ['var/log', 'dev', 'tmp', 'run']) emptyOfFiles(join(paths.base, directory))
  // Theirs or root's, depending on the host's apt: always root's, so that every host makes the same image.
  for (const partial of ['var/cache/apt/archives/partial', 'var/lib/apt/lists/partial']) {
    if (existsSync(join(paths.base, partial))) chownSync(join(paths.base, partial), 0, 0)
  }
  // Scripts of layers use this configuration, so that package lists and archives never enter an image.
  const certificates = '/etc/ssl/certs/ca-certificates.crt'
  if (existsSync(certificates)) copyFileSync(certificates, join(paths.apt, 'ca.crt'))
  writeFileSync(join(paths.apt, 'apt.conf'), [
    ...acquire,
    'Dir::State::lists "/mnt/lists";',
    'Dir::Cache "/mnt/cache";',
    'APT::Sandbox::User "root";',
    'Dpkg::Use-Pty "0";',
    ...(existsSync(certificates) ? ['Acquire::https::CaInfo "/mnt/ca.crt";'] : []),
    '',
  ].join('\n'))
  await inRoot('lists', paths.base, 'apt-get update -q')
}

async function buildImage(name, recipe) {
  step(`${name}: ${recipe.layers.map((layer) => layer.comment).join(', ') || 'base alone'}`)
  const layers = []
  const history = []
  const lowers = []
  if (recipe.from === 'base') {
    layers.push(pending.base)
    lowers.push(paths.base)
    history.push({ created, created_by: `debian ${family.suite}, from packages` })
  }
  for (const [number, layer] of recipe.layers.entries()) {
    const directory = recipe.from === 'scratch' ? await scratchLayer(name, layer) : await overlayLayer(`${name}-${number}`, lowers, layer)
    lowers.unshift(directory)
    layers.push(packLayer(directory, blobs))
    history.push({ created, created_by: layer.comment })
  }
  const packed = await Promise.all(layers)
  const config = putJson(blobs, {
    created, architecture, os: 'linux', config: recipe.config, history,
    rootfs: { type: 'layers', diff_ids: packed.map((layer) => layer.diffId) },
  })
  const manifest = putJson(blobs, {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: packed.map(({ digest, size }) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size })),
  })
  const descriptor = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json', ...manifest, platform: { architecture, os: 'linux' },
  }
  // Official images are served as an index of platforms, so these are too.
  const platforms = putJson(blobs, {
    schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [descriptor],
  })
  return recipe.tags.map((tag) => ({
    mediaType: 'application/vnd.oci.image.index.v1+json',
    ...platforms,
    annotations: { 'org.opencontainers.image.ref.name': `${name}:${tag}` },
  }))
}

/** The script runs over the base, whose changes are thrown away, and leaves the image's root on /mnt/scratch. */
async function scratchLayer(name, layer) {
  const directory = join(paths.apt, 'scratch')
  mkdirSync(directory)
  await overlayLayer(`${name}-tools`, [paths.base], layer)
  return directory
}

async function overlayLayer(label, lowers, layer) {
  const [upper, overlayWork, merged] = ['upper', 'work', 'merged'].map((part) => {
    const path = join(root, `${label}-${part}`)
    mkdirSync(path)
    return path
  })
  const lower = lowers.map((path) => path.slice(root.length + 1)).join(':')
  const relative = (path) => path.slice(root.length + 1)
  const options = `lowerdir=${lower},upperdir=${relative(upper)},workdir=${relative(overlayWork)},redirect_dir=off,metacopy=off`
  run('mount', ['-t', 'overlay', '-o', options, 'overlay', merged], { cwd: root })
  if (layer.script !== undefined) await inRoot(label, merged, readFileSync(join(recipes, layer.script), 'utf8'))
  if (layer.files !== undefined) layOver(join(recipes, layer.files), merged)
  for (const directory of ['var/log', 'var/cache/ldconfig', 'var/cache/debconf', 'tmp']) emptyOfFiles(join(merged, directory))
  for (const old of ['var/lib/dpkg/status-old', 'var/lib/dpkg/diversions-old', 'etc/passwd-', 'etc/group-', 'etc/shadow-', 'etc/gshadow-']) {
    rmSync(join(merged, old), { force: true })
  }
  // Deletions are compared with all layers below at once; they were themselves laid one over the other.
  const below = lowers.length === 1 ? lowers[0] : mountBelow(label, lower)
  writeWhiteouts(upper, below, merged)
  if (below !== lowers[0]) run('umount', [below])
  run('umount', [merged])
  return upper
}

function mountBelow(label, lower) {
  const below = join(root, `${label}-below`)
  mkdirSync(below)
  run('mount', ['-t', 'overlay', '-o', `ro,lowerdir=${lower}`, 'overlay', below], { cwd: root })
  return below
}

/** Runs a script in a root filesystem, with /proc, /dev, name resolution, and apt's state on /mnt. */
async function inRoot(label, directory, script) {
  const at = (path) => join(directory, path)
  const device = join(root, 'dev')
  if (!existsSync(device)) {
    mkdirSync(device)
    run('mount', ['--rbind', '/dev', device])
  }
  run('mount', ['-t', 'proc', 'proc', at('proc')])
  run('mount', ['--rbind', device, at('dev')])
  run('mount', ['--bind', paths.apt, at('mnt')])
  const lent = ['etc/resolv.conf', 'etc/hosts'].filter((file) => existsSync(`/${file}`))
  const had = lent.map((file) => (existsSync(at(file)) ? readFileSync(at(file)) : undefined))
  lent.forEach((file) => cpSync(`/${file}`, at(file), { dereference: true }))
  const policy = at('usr/sbin/policy-rc.d')
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await chroot(directory, script)
  } catch (error) {
    throw new Error(`${label}: ${error.message}`)
  } finally {
    rmSync(policy, { force: true })
    lent.forEach((file, at2) => (had[at2] === undefined ? rmSync(at(file), { force: true }) : writeFileSync(at(file), had[at2])))
    for (const mounted of ['mnt', 'dev', 'proc']) run('umount', ['-l', at(mounted)])
  }
}

/** Lays files over a root: owner root, 0755 when executable and 0644 when not, whatever umask git had. */
function layOver(from, to) {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) {
      if (!existsSync(target)) mkdirSync(target, { mode: 0o755 })
      layOver(source, target)
    } else {
      copyFileSync(source, target)
      chmodSync(target, (statSync(source).mode & 0o100) === 0 ? 0o644 : 0o755)
    }
  }
}

function emptyOfFiles(directory) {
  if (!existsSync(directory)) return
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) emptyOfFiles(path)
    else rmSync(path, { force: true })
  }
}

function run(command, words, options = {}) {
  return execFileSync(command, words, { stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 28, ...options })
}

/** Asynchronous, so that layers made earlier are packed meanwhile. */
function chroot(directory, script) {
  return new Promise((resolve, reject) => {
    const child = spawn('chroot', [directory, '/bin/sh', '-eu'], {
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8', APT_CONFIG: '/mnt/apt.conf',
        SOURCE_DATE_EPOCH: String(epoch), HOME: '/root',
      },
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output = (output + chunk).slice(-4000) })
    child.once('error', reject)
    child.once('close', (code) => (code === 0 ? resolve(undefined) : reject(new Error(`the build script ended with ${code}\n${output}`))))
    // Through a file of its own in the shell's eyes: a command of the script must not read the script as its input.
    child.stdin.end(`main() {\n${script}\n}\nmain < /dev/null\n`)
  })
}

function step(text) {
  process.stdout.write(`${text}\n`)
}
