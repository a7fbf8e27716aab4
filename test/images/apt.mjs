import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'

/**
 * The `deb` lines of a Debian suite, on the mirror this machine's apt is configured with.
 * MAYFLY_DEBIAN_MIRROR names another one; undefined when the machine knows no Debian mirror.
 * @param {string} suite
 * @returns {string[] | undefined}
 */
export function debianSources(suite) {
  const uris = process.env.MAYFLY_DEBIAN_MIRROR ? [process.env.MAYFLY_DEBIAN_MIRROR] : configuredUris()
  const main = uris.find((uri) => /\/debian\/?$/.test(uri))
  if (main === undefined) return undefined
  const security = uris.find((uri) => /\/debian-security\/?$/.test(uri))
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'
  const signed = existsSync(keyring) ? `[signed-by=${keyring}] ` : ''
  const lines = [`deb ${signed}${main} ${suite} main`]
  if (security !== undefined) lines.push(`deb ${signed}${security} ${suite}-security main`)
  return lines
}

/** What apt was told about proxies, retries and certificates, as lines of an apt.conf. */
export function acquireOptions() {
  const dump = execFileSync('apt-config', ['dump'], { encoding: 'utf8' })
  return dump.split('\n').filter((line) => /^Acquire::(https?|ftp|Check-|Retries|ForceIPv)/i.test(line) && !/""\s*;$/.test(line))
}

function configuredUris() {
  const files = ['/etc/apt/sources.list']
  const parts = '/etc/apt/sources.list.d'
  if (existsSync(parts)) for (const name of readdirSync(parts).sort()) files.push(`${parts}/${name}`)
  const uris = []
  for (const file of files) {
    if (!existsSync(file)) continue
    const text = readFileSync(file, 'utf8')
    if (file.endsWith('.sources')) {
      for (const [, list] of text.matchAll(/^URIs:[ \t]*(.+)$/gim)) uris.push(...list.trim().split(/\s+/))
    } else if (file.endsWith('.list')) {
      for (const [, uri] of text.matchAll(/^deb\s+(?:\[[^\]]*\]\s+)?(\S+)/gm)) uris.push(uri)
    }
  }
  return uris
}
