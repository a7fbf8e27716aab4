import type { AllEventOptions, ContainerEvent } from './event-types.js'
import type { HealthStatus } from './health-types.js'
import { readEvents, type JournalEvent } from './journal.js'
import { signalName, signalNumber } from './signals.js'

/** Docker's words for what happens. */
const ACTIONS = {
  created: 'create', started: 'start', restarted: 'restart', paused: 'pause', unpaused: 'unpause', stopped: 'stop', removed: 'destroy',
  exited: 'die', oom: 'oom', killed: 'kill', renamed: 'rename', health_status: 'health_status',
} as const satisfies Readonly<Record<ContainerEvent['kind'], string>>
const KINDS = new Map(Object.entries(ACTIONS).map(([kind, action]) => [action as string, kind as ContainerEvent['kind']]))

/** An event as the journal has it. */
export function journalled(event: ContainerEvent, { labels, startedAt }: { readonly labels: Readonly<Record<string, string>>; readonly startedAt: number | undefined }): JournalEvent[] {
  const { kind, id, name, image } = event
  const time = event.time.getTime()
  const of = (action: string, more: Readonly<Record<string, string>> = {}): JournalEvent => ({ type: 'container', action, id, time, attributes: { ...labels, image, name, ...more } })
  // Docker tells of the start as well.
  if (kind === 'restarted') return [of('start'), of('restart')]
  if (kind === 'exited') return [{ ...of('die', dieAttributes(event.code, event.signal, time - (startedAt ?? time))), signal: event.signal }]
  if (kind === 'killed') return [of('kill', { signal: String(signalNumber(event.signal)) })]
  if (kind === 'renamed') return [of('rename', { oldName: event.from })]
  if (kind === 'health_status') return [of(`health_status: ${event.status}`)]
  return [of(ACTIONS[kind])]
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
  if (kind === 'health_status') return { ...of, kind, status: status as HealthStatus }
  return { ...of, kind }
}
