import type { RunningListing } from '@mayfly/core/listing'

import { invalid } from './action.js'

type Condition = (one: RunningListing) => boolean

const STATES = ['created', 'restarting', 'running', 'removing', 'paused', 'exited', 'dead']
const KINDS = ['id', 'name', 'label', 'status', 'exited', 'ancestor', 'before', 'since', 'network', 'publish', 'expose', 'volume', 'health']

/** `--filter` of a list of containers: of one kind one has to fit, of different kinds all. `states`: states were asked for. */
export function listingFilter(texts: readonly string[], all: readonly RunningListing[]): { readonly fits: Condition, readonly states: boolean } {
  const kinds = new Map<string, Condition[]>()
  for (const text of texts) {
    const at = text.indexOf('=')
    const kind = at < 0 ? '' : text.slice(0, at).toLowerCase()
    if (!KINDS.includes(kind)) throw invalid(`Invalid filter ${JSON.stringify(text)}`, `Filters are ${KINDS.map((one) => `${one}=…`).join(', ')}.`)
    kinds.set(kind, [...kinds.get(kind) ?? [], condition(kind, text.slice(at + 1), all)])
  }
  return {
    // Labels are all to be there, as with Docker.
    fits: (one) => [...kinds].every(([kind, some]) => (kind === 'label' ? some.every((fit) => fit(one)) : some.some((fit) => fit(one)))),
    states: kinds.has('status') || kinds.has('exited'),
  }
}

function condition(kind: string, value: string, all: readonly RunningListing[]): Condition {
  if (kind === 'id') return ({ id }) => id.startsWith(value)
  if (kind === 'name') {
    const pattern = patternOf(value)
    return ({ name }) => pattern.test(name) || pattern.test(`/${name}`)
  }
  if (kind === 'label') {
    const [label = '', wanted] = value.split(/=(.*)/s)
    return ({ labels }) => label in labels && (wanted === undefined || labels[label] === wanted)
  }
  if (kind === 'status') {
    if (!STATES.includes(value)) throw invalid(`Invalid status ${JSON.stringify(value)}`, `There are ${STATES.join(', ')}.`)
    return ({ state }) => state === value
  }
  if (kind === 'exited') {
    const code = Number(value)
    if (!/^\d+$/.test(value)) throw invalid(`Invalid exit code ${JSON.stringify(value)}`, 'Give a whole number.')
    return ({ state, exitCode }) => state === 'exited' && exitCode === code
  }
  if (kind === 'ancestor') {
    const named = value.includes(':') || value.includes('@') ? value : `${value}:latest`
    return ({ image, imageId }) => image === value || (image.includes(':') ? image : `${image}:latest`) === named || imageId === value || imageId.slice(7).startsWith(value)
  }
  if (kind === 'before' || kind === 'since') {
    const other = all.find(({ id, name }) => name === value || id === value) ?? all.find(({ id }) => value !== '' && id.startsWith(value))
    if (other === undefined) throw Object.assign(new Error(`No such container: ${value}`), { code: 'ERR_MAYFLY_CONTAINER_NOT_FOUND' })
    const time = Number(other.createdAt)
    return (one) => one.id !== other.id && (kind === 'before' ? Number(one.createdAt) <= time : Number(one.createdAt) >= time)
  }
  if (kind === 'network') return ({ networks }) => networks.includes(value)
  if (kind === 'volume') return ({ volumes, kept }) => volumes.includes(value) || (kept?.options.mounts ?? []).some((mount) => mount.target === value || ('source' in mount && mount.source === value))
  if (kind === 'publish' || kind === 'expose') return portCondition(value, kind === 'publish')
  if (['starting', 'healthy', 'unhealthy', 'none'].includes(value)) return (one) => (one.health?.status ?? 'none') === value
  throw invalid(`Invalid health ${JSON.stringify(value)}`, 'There are starting, healthy, unhealthy and none.')
}

/** A port or range, `/tcp` unless it says otherwise. */
function portCondition(text: string, published: boolean): Condition {
  const [, first = '', last = first, protocol = 'tcp'] = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp))?$/.exec(text) ?? []
  if (first === '') throw invalid(`Invalid port ${JSON.stringify(text)}`, 'Give 80, 80/udp or 8000-8010.')
  return ({ ports }) => ports.some((one) => one.protocol === protocol && (published ? one.published : true) && inside(published ? one.number : one.container, first, last))
}

function inside(number: number, first: string, last: string): boolean {
  return number >= Number(first) && number <= Number(last)
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text)
  } catch {
    throw invalid(`Invalid pattern ${JSON.stringify(text)}`, 'Names are filtered by a part of them, or a regular expression.')
  }
}
