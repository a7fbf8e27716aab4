import { formatSize } from '../units.js'
import type { RunSummary } from './journal.js'

/** The quiet block at the end of a run; empty when nothing was started. */
export function describeRun({ started, cloned, fromPool, databases, resets, prepared, died, slowest, pulled, kept }: RunSummary): string {
  const instances = [count(started, 'started'), count(cloned, 'cloned'), count(fromPool, 'from the pool'), count(databases, 'databases made'), count(resets, 'reset')].filter(text => text !== '')
  const work = [count(prepared, 'prepared'), pulled.images === 0 ? '' : `${String(pulled.images)} pulled (${formatSize(pulled.bytes)})`, count(died, 'died')].filter(text => text !== '')
  const figures = [instances.join(', '), work.join(', '), slowest === undefined ? '' : `slowest to be ready: ${slowest.name}, ${spokenTime(slowest.ms)}`].filter(text => text !== '')
  const lines = [
    ...figures.map((text, nth) => `${nth === 0 ? 'Containers:' : '           '} ${text}`),
    ...kept.map(({ name, container, reach, until }) => `Kept until ${new Date(until).toTimeString().slice(0, 5)}: ${name} at ${reach} (ended by: mayfly stop ${container})`),
  ]
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`
}

function count(number: number, what: string): string {
  return number === 0 ? '' : `${String(number)} ${what}`
}

function spokenTime(ms: number): string {
  return ms < 1000 ? `${String(Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`
}
