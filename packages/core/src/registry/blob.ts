import { isMayflyError, MayflyError } from '../errors.js'
import type { Reference } from '../reference.js'
import { endpointsFor, type Endpoint } from './endpoints.js'
import { discard, pause, throwIfAborted, unavailable, type HttpResponse } from './http.js'
import type { Descriptor } from './manifest.js'
import { askPlaces, placeOf, warnOfWrong, type Place } from './places.js'
import { summary, type Failure } from './refusal.js'

const RESUMES = 4
const PROGRESS = 2 ** 20
/** From so many bytes on, a connection of its own is worth it. */
const LARGE = 4 * 2 ** 20

/**
 * The bytes of a blob as they arrive; iterated again, they come again. A piece is the reader's until it asks for the next one. The digest is
 * the caller's to check.
 */
export interface BlobDownload extends AsyncIterable<Buffer> {
  /**
   * What came was not the blob, as `error` says: whoever served it is not asked again, and of several, of whom anybody may be at
   * fault, those that broke off come last. Throws what all of them said when nobody is left to ask.
   */
  elsewhere(error: MayflyError): void
}

/**
 * A blob, resumed where it stopped when the connection breaks: at the same place once, then at the next mirror. Its length is checked
 * against the descriptor. Iterating throws ERR_MAYFLY_IMAGE_NOT_FOUND, …_REGISTRY_UNAVAILABLE, …_REGISTRY_UNAUTHORIZED, …_DIGEST_MISMATCH or …_ABORTED.
 */
export function fetchBlob(reference: Reference, wanted: Descriptor, signal?: AbortSignal): BlobDownload {
  const broken = new Set<Place>()
  const wrong = new Map<Place, Failure>()
  let served = new Map<Place, Endpoint>()
  let mistakes = 0
  return {
    [Symbol.asyncIterator]: () => {
      served = new Map()
      return download(reference, wanted, { broken, wrong, served, signal })
    },
    elsewhere: (error) => {
      mistakes += 1
      const endpoints = [...served.values()]
      if (served.size === 1) for (const [place, endpoint] of served) wrong.set(place, { endpoint, error })
      else for (const place of [...served.keys()].slice(0, -1)) broken.add(place)
      const places = endpointsFor(reference).length
      if (wrong.size >= places) throw summary(reference, [...wrong.values()])
      if (mistakes > places) throw error
      warnOfWrong(reference, endpoints, error)
    },
  }
}

interface Download {
  /** Asked last. */
  readonly broken: Set<Place>
  /** Not asked. */
  readonly wrong: ReadonlyMap<Place, Failure>
  /** Becomes those whose bytes were given out. */
  readonly served: Map<Place, Endpoint>
  readonly signal: AbortSignal | undefined
}

async function* download(reference: Reference, wanted: Descriptor, { broken, wrong, served, signal }: Download): AsyncGenerator<Buffer, void, void> {
  let done = 0
  for (let attempt = 0; ; attempt += 1) {
    const from = done
    let at: Endpoint | undefined
    try {
      const headers: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` }
      const question = { headers, signal, last: broken, wrong, large: wanted.size - from >= LARGE }
      const { response, endpoint } = await askPlaces(reference, `blobs/${wanted.digest}`, question, async (answer, who) => {
        if (answer.status === 206) await checkRange(answer, from)
        return { response: answer, endpoint: who }
      })
      at = endpoint
      let skip = response.status === 206 ? 0 : from
      for await (const chunk of response.body) {
        const fresh = skip === 0 ? chunk : chunk.subarray(Math.min(skip, chunk.length))
        skip -= chunk.length - fresh.length
        if (fresh.length === 0) continue
        served.set(placeOf(endpoint), endpoint)
        done += fresh.length
        if (done > wanted.size) throw wrongLength(reference, wanted, `more than ${wanted.size}`)
        yield fresh
      }
      if (done === wanted.size) return
      if (attempt >= RESUMES) throw wrongLength(reference, wanted, String(done))
    } catch (error) {
      throwIfAborted(signal)
      if (isMayflyError(error)) throw error
      if (attempt >= RESUMES) throw unavailable(at?.origin ?? '', error)
    }
    // What gets on is not given up.
    if (done - from >= PROGRESS) attempt = -1
    else await pause(attempt, signal)
    if (attempt > 0 && at !== undefined) broken.add(placeOf(at))
  }
}

async function checkRange(answer: HttpResponse, from: number): Promise<void> {
  const range = answer.headers['content-range']
  if (typeof range === 'string' && range.startsWith(`bytes ${from}-`)) return
  await discard(answer)
  throw new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', 'The registry answered with another range than the one asked for')
}

function wrongLength(reference: Reference, { digest, size }: Descriptor, actual: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `A layer of ${reference} has ${actual} bytes instead of ${size}`, { details: { wanted: digest } })
}
