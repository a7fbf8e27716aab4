import { ask, type KeptContainer } from '../keeper.js'
import { elapsed, table } from '../table.js'

/** Lists detached containers, with Docker's columns. */
export async function ps(
  options: { readonly all?: boolean, readonly quiet?: boolean, readonly format?: string, readonly trunc: boolean },
): Promise<void> {
  const containers = (await ask({ do: 'list' }) ?? []) as KeptContainer[]
  const now = Date.now()
  const rows = containers.filter((one) => options.all === true || one.exit === undefined).map((one) => ({
    ID: options.trunc ? one.id.slice(0, 12) : one.id,
    Image: one.image,
    Command: JSON.stringify(options.trunc && one.command.length > 20 ? `${one.command.slice(0, 19)}…` : one.command),
    RunningFor: `${elapsed(one.createdAt, now)} ago`,
    Status: one.exit === undefined ? `Up ${elapsed(one.createdAt, now)}` : `Exited (${one.exit.code}) ${elapsed(one.exit.at, now)} ago`,
    State: one.exit === undefined ? 'running' : 'exited',
    Ports: one.ports.map((port) => `${port.host}:${port.number}->${port.container}/tcp`).join(', '),
    Names: one.name,
  }))
  if (options.format === 'json') for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`)
  else if (options.quiet === true) for (const row of rows) process.stdout.write(`${row.ID}\n`)
  else {
    process.stdout.write(table(
      ['CONTAINER ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'PORTS', 'NAMES'],
      rows.map((row) => [row.ID, row.Image, row.Command, row.RunningFor, row.Status, row.Ports, row.Names]),
    ))
  }
}
