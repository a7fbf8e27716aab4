import { checkDetachKeys, exitCode, join, ownSize, proxySignals, requireTerminal } from '../session.js'
import { variables } from '../variables.js'

interface Flags {
  readonly interactive?: boolean
  readonly tty?: boolean
  readonly detach?: boolean
  readonly env?: readonly string[]
  readonly envFile?: readonly string[]
  readonly workdir?: string
  readonly user?: string
  readonly privileged?: boolean
  readonly detachKeys?: string
}

/** A command in a container of any live run, beside what runs there. */
export async function exec(which: string, command: readonly string[], flags: Flags): Promise<void> {
  checkDetachKeys(flags.detachKeys)
  if (flags.detach !== true) requireTerminal(flags.interactive, flags.tty)
  const { openContainer } = await import('@mayfly/core/engine')
  await using container = await openContainer(which)
  const options = {
    env: variables(flags.env, flags.envFile), user: flags.user, cwd: flags.workdir, privileged: flags.privileged,
    tty: flags.tty === true ? ownSize() ?? true : undefined,
  }
  if (flags.detach === true) {
    await container.spawnDetached(command, options)
    return
  }
  const input = flags.interactive === true
  const running = await container.spawn(command, options)
  if (!input && flags.tty !== true) running.stdin.end()
  proxySignals((signal) => running.kill(signal))
  const ended = await join(running, { input, tty: flags.tty === true, detachKeys: flags.detachKeys, closes: true })
  if (ended !== undefined) process.exitCode = exitCode(ended)
}
