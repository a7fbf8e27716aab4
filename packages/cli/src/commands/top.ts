import { table } from '../table.js'

/** The processes of a container of any live run, as `ps -ef` has them. */
export async function top(which: string): Promise<void> {
  const { openContainer } = await import('@mayfly/core/engine')
  await using container = await openContainer(which)
  const rows = (await container.top()).map(({ user, hostPid, pid, state, cpu, command }) => [
    String(user), String(hostPid), String(pid), state, clock(cpu / 1e9), command.join(' '),
  ])
  process.stdout.write(table(['UID', 'PID', 'INSIDE', 'STAT', 'TIME', 'CMD'], rows))
}

/** Seconds as `00:01:30`. */
function clock(seconds: number): string {
  return [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60].map((part) => String(part).padStart(2, '0')).join(':')
}
