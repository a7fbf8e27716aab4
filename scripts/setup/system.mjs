import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { debianSources } from '../../test/images/apt.mjs'
import { run } from './run.mjs'

/**
 * Installs what is missing when this is root on Debian or Ubuntu; else one message names it all.
 * @param {{ images: boolean, registry: boolean, machine?: boolean, say: (text: string) => void }} needs
 *   images: they are yet to be built; registry: they are to be served; machine: one is to be made and booted
 */
export async function installPackages({ images, registry, machine = false, say }) {
  const wanted = ['gcc', 'libc6-dev']
  if (registry) wanted.push('docker-registry')
  if (images || machine) wanted.push('mmdebstrap', 'debian-archive-keyring')
  if (machine) wanted.push('qemu-system-x86', 'e2fsprogs')
  // Root's tests also play an ordinary user, who borrows ids with newuidmap and gets out through one of passt and slirp4netns; the shells have their completion tested; btrfs has reflinks.
  if (process.getuid?.() === 0 && debianHost()) wanted.push('uidmap', 'passt', 'slirp4netns', 'zsh', 'fish', 'btrfs-progs')
  const missing = await missingPackages(wanted)
  if (images && debianHost() && debianSources('trixie') === undefined) {
    throw new Error('apt here knows no Debian mirror to build the test images from: set MAYFLY_DEBIAN_MIRROR, or use --hub')
  }
  if (missing.length === 0) return 'in place'
  const install = `apt-get install --no-install-recommends ${missing.join(' ')}`
  if (!debianHost()) {
    throw new Error(`missing: ${missing.join(', ')} (names as in Debian). Install their equivalents${registry ? ', or use --hub to do without the local images' : ''}.`)
  }
  if (process.getuid?.() !== 0) throw new Error(`missing: ${missing.join(', ')}. Mend it with:\n  sudo ${install}`)
  say(missing.join(', '))
  await withoutStartingServers(async () => {
    const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
    await run('apt-get', ['update', '-q'], options)
    await run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...missing], options)
  })
  return `installed ${missing.join(', ')}`
}

/** dpkg answers for all at once; elsewhere the programs themselves are looked for. */
async function missingPackages(wanted) {
  if (!debianHost()) {
    const programs = {
      gcc: 'gcc', mmdebstrap: 'mmdebstrap', 'docker-registry': 'docker-registry', 'qemu-system-x86': 'qemu-system-x86_64', e2fsprogs: 'mke2fs',
    }
    return wanted.filter((name) => name in programs && !onPath(programs[name]))
  }
  const answer = spawnSync('dpkg-query', ['-W', '-f=${Package} ${db:Status-Status}\n', ...wanted], { encoding: 'utf8' })
  const installed = new Set(answer.stdout.split('\n').filter((line) => line.endsWith(' installed')).map((line) => line.split(' ')[0]))
  return wanted.filter((name) => !installed.has(name) && !(name === 'gcc' && onPath('gcc')))
}

/** A package that brings a server must not start it on the user's machine. An existing policy stays. */
async function withoutStartingServers(work) {
  const policy = '/usr/sbin/policy-rc.d'
  if (existsSync(policy)) return work()
  const remove = () => rmSync(policy, { force: true })
  process.once('exit', remove)
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    return await work()
  } finally {
    process.off('exit', remove)
    remove()
  }
}

function debianHost() {
  return existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-query')
}

function onPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
