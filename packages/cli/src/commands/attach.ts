import { checkDetachKeys, exitCode, join, ownSize, proxySignals, requireTerminal } from '../session.js'

interface Flags {
  readonly stdin: boolean
  readonly sigProxy: string | boolean
  readonly detachKeys?: string
}

/** Joins the standard streams of a container's own process. */
export async function attach(which: string, flags: Flags): Promise<void> {
  checkDetachKeys(flags.detachKeys)
  const { openContainer } = await import('@mayfly/core/engine')
  await using container = await openContainer(which)
  if (container.state !== 'running') {
    const paused = container.state === 'paused'
    throw Object.assign(new Error(`Container ${container.name} is ${paused ? 'paused' : 'not running'}`), { code: 'ERR_MAYFLY_NOT_RUNNING', hint: paused ? `Let it go on first: mayfly unpause ${which}` : `Its output: mayfly logs ${which}` })
  }
  const attached = await container.attach({ stdin: flags.stdin })
  if (attached.stdin !== undefined) requireTerminal(flags.stdin, container.tty)
  if (String(flags.sigProxy) !== 'false') proxySignals((signal) => container.kill(signal))
  // One row less and back: what draws on the terminal draws anew.
  const size = container.tty ? ownSize() : undefined
  if (size !== undefined) await attached.resize({ ...size, rows: size.rows + 1 }).catch(() => undefined)
  const ended = await join(attached, { input: flags.stdin, tty: container.tty, detachKeys: flags.detachKeys, closes: false })
  if (ended !== undefined) process.exitCode = exitCode(ended)
  else process.stderr.write('read escape sequence\n')
}
