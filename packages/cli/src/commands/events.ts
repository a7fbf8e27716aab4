import type { JournalEvent } from '@mayfly/core/engine'

import { invalid } from '../action.js'
import { formatValue } from '../template/index.js'
import { parseTime } from '../time.js'

interface Flags {
  readonly filter?: readonly string[]
  readonly since?: string
  readonly until?: string
  readonly format?: string
}

/** Prints what happens to containers, networks, images and volumes, a line each, until somebody ends it. */
export async function events({ filter = [], since, until, format }: Flags): Promise<void> {
  const fits = conditions(filter)
  const now = Date.now()
  const { readEvents } = await import('@mayfly/core/engine')
  const happened = readEvents({ since: since === undefined ? undefined : parseTime(since, now), until: until === undefined ? undefined : parseTime(until, now) })
  for await (const event of happened) if (fits(event)) process.stdout.write(format === undefined ? `${line(event)}\n` : formatValue(document(event), format))
}

function line({ time, type, action, id, attributes }: JournalEvent): string {
  const facts = Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => `${name}=${value}`)
  return `${new Date(time).toISOString()} ${type} ${action} ${id} (${facts.join(', ')})`
}

/** Docker's form. */
function document({ time, type, action, id, attributes }: JournalEvent): object {
  return {
    ...(type === 'container' ? { status: action, id, from: attributes['image'] ?? '' } : type === 'image' ? { status: action, id } : {}),
    Type: type, Action: action, Actor: { ID: id, Attributes: attributes }, scope: 'local', time: Math.floor(time / 1000), timeNano: time * 1e6,
  }
}

/** Of one kind one has to fit, of different kinds all. */
function conditions(texts: readonly string[]): (event: JournalEvent) => boolean {
  const kinds = new Map<string, ((event: JournalEvent) => boolean)[]>()
  for (const text of texts) {
    const [kind = '', value = ''] = text.split(/=(.*)/s)
    kinds.set(kind, [...kinds.get(kind) ?? [], condition(kind, value, text)])
  }
  return (event) => [...kinds.values()].every((some) => some.some((fit) => fit(event)))
}

function condition(kind: string, value: string, text: string): (event: JournalEvent) => boolean {
  if (kind === 'type') return ({ type }) => type === value
  // A status has more to it behind a colon.
  if (kind === 'event') return ({ action }) => action === value || action.startsWith(`${value}:`)
  if (kind === 'image') return ({ type, id, attributes }) => imagesOf(type, id, attributes).some((one) => one === value || one.replace(/(?::[^:/@]*)?(?:@.*)?$/, '') === value)
  if (kind === 'container' || kind === 'network') return ({ type, id, attributes }) => type === kind && (attributes['name'] === value || (value !== '' && id.startsWith(value)))
  if (kind === 'volume') return ({ type, id }) => type === kind && id === value
  if (kind === 'scope') return () => value === 'local'
  if (kind === 'label') {
    const [label = '', wanted] = value.split(/=(.*)/s)
    return ({ attributes }) => label in attributes && (wanted === undefined || attributes[label] === wanted)
  }
  throw invalid(`Invalid filter ${JSON.stringify(text)}`, 'Filters are container=, image=, event=, label=, type=, network=, volume= and scope=.')
}

/** The image that a container is made from, or that something happens to. */
function imagesOf(type: JournalEvent['type'], id: string, { image, name }: JournalEvent['attributes']): readonly string[] {
  return (type === 'container' ? [image] : type === 'image' ? [id, name] : []).filter((one) => one !== undefined)
}
