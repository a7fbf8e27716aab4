import { invalid } from '../action.js'
import { parseTime } from '../time.js'

interface Flags {
  readonly follow?: boolean
  readonly tail: string
  readonly since?: string
  readonly until?: string
  readonly timestamps?: boolean
}

/** Prints the output of a container of any live run, or that is kept, on the streams it was written to. */
export async function logs(container: string, { follow, tail: text, since, until, timestamps }: Flags): Promise<void> {
  // As Docker has it, a number below 0 is no limit.
  const tail = text === 'all' || /^-\d+$/.test(text) ? undefined : Number(text)
  if (tail !== undefined && !(text !== '' && Number.isInteger(tail))) throw invalid(`Invalid number of lines: ${text}`, 'Give a whole number, or all.')
  const now = Date.now()
  const { containerLogs } = await import('@mayfly/core/listing')
  const lines = containerLogs(container, {
    follow: follow === true, tail, timestamps: timestamps === true,
    since: since === undefined ? undefined : parseTime(since, now), until: until === undefined ? undefined : parseTime(until, now),
  })
  for await (const { stream, text: line } of lines) {
    if (!process[stream].write(`${line}\n`)) await new Promise((go) => { process[stream].once('drain', go) })
  }
}
