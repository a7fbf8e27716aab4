/** Prints where a container's ports are reached: all, or one, as `80` or `53/udp`. Exit code 1 for one that is not. */
export async function port(container: string, which: string | undefined): Promise<void> {
  const { findContainer } = await import('@mayfly/core/engine')
  const { ports } = await findContainer(container)
  const [number = '', protocol = 'tcp'] = which?.split('/') ?? []
  const chosen = which === undefined ? ports : ports.filter((one) => String(one.container) === number && one.protocol === protocol)
  if (which !== undefined && chosen.length === 0) {
    throw Object.assign(new Error(`No public port '${number}/${protocol}' published for ${container}`), { code: 'ERR_MAYFLY_OPTION_INVALID' })
  }
  for (const one of chosen) process.stdout.write(`${which === undefined ? `${one.container}/${one.protocol} -> ` : ''}${one.host}:${one.number}\n`)
}
