import { isDigest, type Digest } from './digest.js'
import { MayflyError } from './errors.js'

declare const referenceBrand: unique symbol

/** A checked image reference. With a tag and a digest, the digest decides and the tag only informs. */
export interface Reference {
  readonly [referenceBrand]: true
  /** Host and optional port; `docker.io` for Docker Hub. */
  readonly registry: string
  readonly repository: string
  readonly tag?: string
  readonly digest?: Digest
  /** The shortest text a user would type for it. */
  readonly familiar: string
  /** The full text: `registry/repository[:tag][@digest]`. */
  toString(): string
}

const HOST = /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const HUB = 'docker.io'

/**
 * Reads an image reference by Docker's grammar. Defaults: registry `docker.io`, repository `library/NAME`,
 * tag `latest` when there is no digest. Throws ERR_MAYFLY_REFERENCE_INVALID saying what is wrong.
 */
export function parseReference(text: string): Reference {
  if (typeof text !== 'string' || text === '') throw invalid(String(text), 'it is empty')
  const at = text.indexOf('@')
  const digest = at < 0 ? undefined : text.slice(at + 1)
  if (digest !== undefined && !isDigest(digest)) {
    throw invalid(text, 'after "@" must come "sha256:" and 64 lower-case hexadecimal digits')
  }
  const named = at < 0 ? text : text.slice(0, at)
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1)
  const tag = colon < 0 ? undefined : named.slice(colon + 1)
  if (tag !== undefined && !TAG.test(tag)) {
    throw invalid(text, `the tag "${tag}" must be 1 to 128 letters, digits, "_", "." or "-", not starting with "." or "-"`)
  }
  const { registry, repository } = splitRegistry(text, colon < 0 ? named : named.slice(0, colon))
  checkRepository(text, repository)
  return make(registry, repository, tag ?? (digest === undefined ? 'latest' : undefined), digest)
}

function splitRegistry(text: string, name: string): { registry: string, repository: string } {
  const slash = name.indexOf('/')
  const first = slash < 0 ? '' : name.slice(0, slash)
  if (!looksLikeHost(first)) return { registry: HUB, repository: slash < 0 ? `library/${name}` : name }
  if (!HOST.test(first)) throw invalid(text, `"${first}" is not a host name with an optional port`)
  const rest = name.slice(slash + 1)
  const registry = first === 'index.docker.io' ? HUB : first
  return { registry, repository: registry === HUB && !rest.includes('/') ? `library/${rest}` : rest }
}

function looksLikeHost(first: string): boolean {
  return /[.:A-Z]/.test(first) || first === 'localhost'
}

function checkRepository(text: string, repository: string): void {
  if (repository.length > 255) throw invalid(text, 'the repository is longer than 255 characters')
  const bare = repository.replace(/^library\//, '')
  if (/^[0-9a-f]{64}$/.test(bare)) throw invalid(text, 'a name of 64 hexadecimal digits would be an image id')
  for (const component of repository.split('/')) {
    if (COMPONENT.test(component)) continue
    if (component === '') throw invalid(text, 'a part of the name is empty')
    if (/[A-Z]/.test(component)) throw invalid(text, `"${component}" has upper-case letters; a repository has none`)
    throw invalid(text, `"${component}" must be lower-case letters and digits, separated by ".", "_", "__" or "-"`)
  }
}

function make(registry: string, repository: string, tag: string | undefined, digest: Digest | undefined): Reference {
  const suffix = (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`)
  const short = registry !== HUB || (repository.includes('/') && looksLikeHost(repository.slice(0, repository.indexOf('/'))))
    ? `${registry}/${repository}`
    : /^library\/[^/]+$/.test(repository) ? repository.slice('library/'.length) : repository
  const full = `${registry}/${repository}${suffix}`
  const value = {
    registry,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
    familiar: short + (tag === 'latest' && digest === undefined ? '' : suffix),
    toString: () => full,
  }
  return Object.freeze(value) as unknown as Reference
}

function invalid(text: string, why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_REFERENCE_INVALID', `Invalid image reference ${JSON.stringify(text.slice(0, 300))}: ${why}`, {
    hint: 'Write it as [registry[:port]/]repository[:tag][@sha256:…], for example "postgres:16" or "ghcr.io/owner/app:1.2".',
  })
}
