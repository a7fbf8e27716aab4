import type { AllEventOptions, ContainerEvent } from './event-types.js'
import type { HealthStatus } from './health-types.js'
import { readEvents, type JournalEvent } from './journal.js'
import { signalName, signalNumber } from './signals.js'
import type { RunOptions } from './types.js'

/** Docker's words for what happens. */
const ACTIONS = {
  created: 'create', started: 'start', restarted: 'restart', paused: 'pause', unpaused: 'unpause', stopped: 'stop', removed: 'destroy',
  exited: 'die', oom: 'oom', killed: 'kill', renamed: 'rename', committed: 'commit', health_status: 'health_status',
} as const satisfies Readonly<Record<ContainerEvent['kind'], string>>
const KINDS = new Map(Object.entries(ACTIONS).map(([kind, action]) => [action as string, kind as ContainerEvent['kind']]))

/** Whose event it is, as far as the journal tells of it. */
interface Told {
  readonly labels: Readonly<Record<string, string>>
  readonly startedAt: number | undefined
  readonly mounts: RunOptions['mounts']
}

/** An event as the journal has it. */
export function journalled(event: ContainerEvent, { labels, startedAt, mounts }: Told): JournalEvent[] {
  return wordsOf(event, labels, startedAt).flatMap((one) => withVolumes(one, mounts))
}

function wordsOf(event: ContainerEvent, labels: Told['labels'], startedAt: number | undefined): JournalEvent[] {
  const { kind, id, name, image } = event
  const time = event.time.getTime()
  const of = (action: string, more: Readonly<Record<string, string>> = {}): JournalEvent => ({ type: 'container', action, id, time, attributes: { ...labels, image, name, ...more } })
  // Docker tells of the start as well.
  if (kind === 'restarted') return [of('start'), of('restart')]
  if (kind === 'exited') return [{ ...of('die', dieAttributes(event.code, event.signal, time - (startedAt ?? time))), signal: event.signal }]
  if (kind === 'killed') return [of('kill', { signal: String(signalNumber(event.signal)) })]
  if (kind === 'renamed') return [of('rename', { oldName: event.from })]
  if (kind === 'committed') return [of('commit', { comment: event.message, imageID: event.imageId, imageRef: event.reference })]
  if (kind === 'health_status') return [of(`health_status: ${event.status}`)]
  return [of(ACTIONS[kind])]
}

/** What a start mounts is told before it, what an end lets go of behind it; of volumes that have names. */
export function withVolumes(event: JournalEvent, mounts: RunOptions['mounts'] = []): JournalEvent[] {
  const { action, id, time } = event
  if (action !== 'start' && action !== 'die') return [event]
  const volumes = mounts.flatMap((one) => {
    if ('source' in one || one.volume === undefined) return []
    const { volume, target, readonly = false } = one
    return [{ name: typeof volume === 'string' ? volume : volume.name, place: { destination: target, propagation: '', 'read/write': String(!readonly) } }]
  })
  const told = volumes.map(({ name, place }): JournalEvent => ({
    type: 'volume', action: action === 'start' ? 'mount' : 'unmount', id: name, time, attributes: { container: id, driver: 'local', ...(action === 'start' ? place : {}) },
  }))
  return action === 'start' ? [...told, event] : [event, ...told]
}

/** How it ended, as a shell has it; `lasted` in milliseconds. */
export function dieAttributes(code: number, signal: string | undefined, lasted: number): Readonly<Record<string, string>> {
  return { exitCode: String(signal === undefined ? code : 128 + signalNumber(signal)), execDuration: String(Math.round(lasted / 1000)) }
}

/** What happens to containers of all runs. */
export async function* readContainerEvents({ since, signal }: AllEventOptions): AsyncGenerator<ContainerEvent> {
  for await (const event of readEvents({ signal, since: since === undefined ? undefined : Number(since) })) {
    const told = event.type === 'container' ? containerEvent(event) : undefined
    if (told !== undefined) yield told
  }
}

function containerEvent({ action, id, attributes, time, signal }: JournalEvent): ContainerEvent | undefined {
  const [word = '', status] = action.split(': ')
  const kind = KINDS.get(word)
  const of = { time: new Date(time), id, name: attributes['name'] ?? '', image: attributes['image'] ?? '' }
  if (kind === undefined) return undefined
  if (kind === 'exited') return { ...of, kind, code: signal === undefined ? Number(attributes['exitCode']) : -1, signal }
  if (kind === 'killed') return { ...of, kind, signal: signalName(Number(attributes['signal'])) ?? '' }
  if (kind === 'renamed') return { ...of, kind, from: attributes['oldName'] ?? '' }
  if (kind === 'committed') return { ...of, kind, imageId: attributes['imageID'] ?? '', reference: attributes['imageRef'] ?? '', message: attributes['comment'] ?? '' }
  if (kind === 'health_status') return { ...of, kind, status: status as HealthStatus }
  return { ...of, kind }
}
