/** Prints the output of a container of any live run, on the streams it was written to. */
export async function logs(container: string, options: { readonly follow?: boolean, readonly tail: string }): Promise<void> {
  const tail = options.tail === 'all' ? undefined : Number(options.tail)
  if (tail !== undefined && !(Number.isInteger(tail) && tail >= 0)) {
    throw Object.assign(new Error(`Invalid number of lines: ${options.tail}`), { code: 'ERR_MAYFLY_OPTION_INVALID' })
  }
  const { containerLogs } = await import('@mayfly/core/engine')
  for await (const { stream, text } of containerLogs(container, { follow: options.follow === true, tail })) {
    if (!process[stream].write(`${text}\n`)) await new Promise((go) => { process[stream].once('drain', go) })
  }
}
