import { formatValue } from '../template/index.js'

/** What this machine gives containers; `doctor` says how to mend what it lacks. */
export async function info(options: { readonly format?: string }): Promise<void> {
  const { endRun, info: ask } = await import('@mayfly/core/engine')
  const facts = await ask()
  await endRun()
  if (options.format !== undefined) return void process.stdout.write(formatValue(facts, options.format))
  const rows: readonly (readonly [string, string])[] = [
    ['Version', facts.version],
    ['Kernel', `${facts.kernel} (${facts.architecture})`],
    ['Containers of', { root: 'root', user: 'an ordinary user, with ids of their own', single: 'an ordinary user, with a single id' }[facts.mode]],
    ['Cgroup', facts.controllers.length === 0 ? facts.cgroup : `${facts.cgroup}: ${facts.controllers.join(', ')}`],
    ['Storage driver', facts.driver],
    ...Object.entries(facts.refused).map(([name, why]) => [`  not ${name}`, why] as const),
    ['Network', facts.addresses ? 'addresses of their own' : 'ports on the loopback'],
    ['Outbound', 'why' in facts.outbound ? `${facts.outbound.way}: ${facts.outbound.why} (${facts.outbound.mend})` : facts.outbound.way],
    ['Store', `${facts.home}, ${facts.images} images`],
    ['Docker Hub', facts.hub.join(', then ')],
  ]
  for (const [name, value] of rows) process.stdout.write(`${`${name}:`.padEnd(16)} ${value}\n`)
  const lists = [['Insecure registries', facts.insecure], ['Registry mirrors', facts.mirrors]] as const
  for (const [name, entries] of lists) if (entries.length > 0) process.stdout.write(`${[`${name}:`, ...entries].join('\n  ')}\n`)
}
