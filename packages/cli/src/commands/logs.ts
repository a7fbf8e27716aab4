import { askAbout } from '../keeper.js'

/** Prints a detached container's output on the streams it was written to. */
export async function logs(container: string, options: { readonly follow?: boolean, readonly tail: string }): Promise<void> {
  const tail = options.tail === 'all' ? undefined : Number(options.tail)
  if (tail !== undefined && !(Number.isInteger(tail) && tail >= 0)) throw new Error(`Invalid number of lines: ${options.tail}`)
  await askAbout(container, { do: 'logs', follow: options.follow === true, ...(tail === undefined ? {} : { tail }) }, (stream, text) => {
    process[stream].write(`${text}\n`)
  })
}
