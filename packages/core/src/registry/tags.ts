import { MayflyError } from '../errors.js'
import type { Reference } from '../reference.js'
import { readBody } from './http.js'
import { parseJson } from './manifest.js'
import { askPlaces, JSON_LIMIT } from './places.js'

const TAG = /^\w[\w.-]{0,127}$/
const PAGE = 1000
/** Of a registry that goes on for ever. */
const MOST_PAGES = 100

/**
 * All tags of the reference's repository, sorted. Throws ERR_MAYFLY_IMAGE_NOT_FOUND, …_REGISTRY_UNAVAILABLE,
 * …_REGISTRY_UNAUTHORIZED, …_MANIFEST_INVALID or …_ABORTED. [OCI distribution specification, "Listing Tags"]
 */
export async function fetchTags(reference: Reference, signal?: AbortSignal): Promise<string[]> {
  const tags: string[] = []
  let last: string | undefined
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const path = `tags/list?n=${PAGE}${last === undefined ? '' : `&last=${encodeURIComponent(last)}`}`
    const { found, next } = await askPlaces(reference, path, { headers: {}, signal }, async (response) => {
      const bytes = await readBody(response, JSON_LIMIT, `The tags of ${reference.repository}`)
      return { found: tagsIn(parseJson(bytes, `The list of tags of ${reference.repository}`), reference), next: lastIn(String(response.headers['link'] ?? '')) }
    })
    tags.push(...found)
    if (next === undefined || next === last) break
    last = next
  }
  return [...new Set(tags)].sort()
}

/** Where the next page begins: `</v2/…?last=…>; rel="next"`. Only that is taken of the address, which may be anybody's. */
function lastIn(link: string): string | undefined {
  const [, query] = /^<[^>?]*\?([^>]*)>;.*\brel="?next"?/.exec(link) ?? []
  return new URLSearchParams(query).get('last') ?? undefined
}

function tagsIn(json: unknown, { repository }: Reference): string[] {
  const { tags } = (json ?? {}) as { tags?: unknown }
  if (tags === null || tags === undefined) return []
  if (Array.isArray(tags) && tags.every((one): one is string => typeof one === 'string' && TAG.test(one))) return tags
  throw new MayflyError('ERR_MAYFLY_MANIFEST_INVALID', `The list of tags of ${repository} cannot be used: it has what is no tag`)
}
