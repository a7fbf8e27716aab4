// The machine's disks: a root file system from Debian packages with both kernels beside it, kept by content hash, and
// what changes with the checkout (the checkout itself, the test images), made anew when it did.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, existsSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withLock } from '../../scripts/setup/lock.mjs'
import { run } from '../../scripts/setup/run.mjs'
import { acquireOptions, debianSources } from '../images/apt.mjs'
import { registryStorage } from '../images/index.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const root = dirname(dirname(here))
const keepFor = 14 * 24 * 3600_000

/** Kernel series under test; Debian's newest of each is taken. */
export const series = ['6.12', '6.1']

/** How the root file system is made: what stands here, in root.sh and in guest/ is hashed. */
const packages = [
  'systemd-sysv', 'systemd', 'dbus', 'dbus-user-session', 'libpam-systemd', 'udev', 'kmod', 'uidmap', 'fuse-overlayfs', 'fuse3',
  'docker-registry', 'ca-certificates', 'libstdc++6', 'iproute2', 'nftables', 'procps', 'util-linux', 'busybox-static', 'btrfs-progs',
]
/** MiB free on the root disk: stores of the tests, a database's image and its copies in them. The file is sparse. */
const ROOM = 6144
const recipe = [
  '--mode=root', '--variant=minbase', '--skip=check/empty,cleanup/reproducible', `--include=${packages.join(',')}`,
  ...['doc', 'man', 'info', 'locale'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
]

/** Where disks are kept. */
export function machineCache() {
  return process.env.MAYFLY_TEST_VM ?? join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'mayfly-test-vm')
}

/**
 * The root disk and the kernels, built when their recipe changed.
 * @param {(text: string) => void} say
 * @returns {Promise<string>} a directory with root.img and one vmlinuz-SERIES each
 */
export async function rootDisk(say) {
  const sources = debianSources('bookworm')
  if (sources === undefined) throw new Error('apt here knows no Debian mirror to make the machine from: set MAYFLY_DEBIAN_MIRROR')
  const hash = createHash('sha256').update(JSON.stringify([recipe, series, process.version, process.arch, ROOM, ROOT]))
  for (const file of ['root.sh', ...guestFiles()]) hash.update(readFileSync(join(here, file)))
  return kept(`machine-${hash.digest('hex').slice(0, 16)}`, say, async (directory) => {
    say('root disk from packages')
    const tree = mkdtempSync(join(tmpdir(), 'mayfly-vm-'))
    try {
      await run('mmdebstrap', [
        '--quiet', ...recipe, ...acquireOptions().map((line) => `--aptopt=${line}`), `--customize-hook=${join(here, 'root.sh')} "$1"`,
        'bookworm', tree, ...sources,
      ], { env: { ...process.env, TMPDIR: tmpdir(), NODE: process.execPath, GUEST: join(here, 'guest'), SERIES: series.join(' '), KERNELS: directory } })
      say('root disk')
      await fileSystem(join(directory, 'root.img'), tree, ROOM, { partition: true })
    } finally {
      rmSync(tree, { recursive: true, force: true })
    }
  })
}

/** The test images' registry as a disk. @param {(text: string) => void} say */
export async function imagesDisk(say) {
  const storage = registryStorage()
  const directory = await kept(`images-${basename(storage)}`, say, async (made) => {
    say('disk of the test images')
    await fileSystem(join(made, 'images.ext4'), storage, 16)
  })
  return join(directory, 'images.ext4')
}

/**
 * The checkout as it stands, built, with its dependencies: they alone are kept.
 * @param {string} path @param {(text: string) => void} say
 */
export async function workDisk(path, say) {
  say('disk of this checkout')
  await fileSystem(path, root, 256, ['.git'])
}

function guestFiles() {
  return readdirSync(join(here, 'guest')).sort().map((name) => `guest/${name}`)
}

async function kept(name, say, make) {
  const cache = machineCache()
  mkdirSync(cache, { recursive: true })
  const path = join(cache, name)
  await withLock(join(cache, 'lock'), async () => {
    if (existsSync(path)) {
      utimesSync(path, new Date(), new Date())
      return
    }
    for (const old of readdirSync(cache)) {
      const unused = /^(machine|images)-/.test(old) && Date.now() - statSync(join(cache, old)).mtimeMs > keepFor
      if (old.startsWith('tmp-') || unused) rmSync(join(cache, old), { recursive: true, force: true })
    }
    const temporary = join(cache, `tmp-${process.pid}`)
    mkdirSync(temporary)
    try {
      await make(temporary)
      // What a power cut leaves of a disk that was not written out boots into a panic.
      execFileSync('sync', ['--file-system', temporary])
      renameSync(temporary, path)
    } finally {
      rmSync(temporary, { recursive: true, force: true })
    }
  }, () => say('waiting for another that is making the disks'))
  return path
}

/** What the partition is called: disks are numbered as they answer, which two kernels and one kernel twice do otherwise. */
const SIGNATURE = 0x6d617966
export const ROOT = `${SIGNATURE.toString(16)}-01`

/** An ext4 image of a directory, made without mounting anything, and with room to spare (MiB); the only partition of it, if wished. */
async function fileSystem(path, directory, room, { partition = false } = {}) {
  const used = Number(execFileSync('du', ['-sk', '--apparent-size', directory], { encoding: 'utf8' }).split('\t')[0])
  const size = Math.ceil(used * 1.25 / 1024) + room
  const start = partition ? MIB : 0
  await run('mke2fs', ['-q', '-F', '-t', 'ext4', '-m', '0', '-O', '^has_journal', '-E', `lazy_itable_init=1,offset=${start}`, '-d', directory, path, `${size}M`])
  if (partition) writePartitions(path, start / SECTOR, size * MIB / SECTOR)
}

const MIB = 1 << 20
const SECTOR = 512

/** A master boot record of one partition: PARTUUID is its signature and the number. [UEFI 2.10, 5.2.1] */
function writePartitions(path, start, sectors) {
  const record = Buffer.alloc(SECTOR)
  record.writeUInt32LE(SIGNATURE, 440)
  record[446 + 4] = 0x83
  record.writeUInt32LE(start, 446 + 8)
  record.writeUInt32LE(sectors, 446 + 12)
  record.writeUInt16LE(0xaa55, 510)
  const file = openSync(path, 'r+')
  try {
    writeSync(file, record, 0, SECTOR, 0)
    ftruncateSync(file, (start + sectors) * SECTOR)
  } finally {
    closeSync(file)
  }
}
