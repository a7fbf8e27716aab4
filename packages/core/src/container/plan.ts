import { formatAddress } from '../network/addresses.js'
import { cgroupWrites, compileFoundation, compileSandbox, hostsFile, listOperations, resolveUser } from '../sandbox/index.js'
import { accountsOf, obtainImage } from './image.js'
import { resolvConf } from './nameserver.js'
import { resolveOptions } from './resolve.js'
import { networkOf } from './slots.js'
import { currentRun } from './supervision.js'

/**
 * What the native program would carry out for `run(image)` on this machine, one operation a line (docs/protocol.md):
 * first what writes the cgroup's limits, then the operation list. Only its changes' place and id are made up.
 * Throws what `run()` throws before it starts anything.
 */
export async function planOf(reference: string): Promise<string> {
  const run = await currentRun()
  const image = await obtainImage(reference, {})
  const { options } = await resolveOptions(run, {})
  const [passwd, group] = await accountsOf(image)
  const address = run.addresses === undefined ? undefined : run.hello.subnet + 2
  const hostname = '0'.repeat(12)
  const { features } = run.hello
  const foundation = compileFoundation({ network: networkOf(run, address), map: run.map, options, features }).part()
  const rest = compileSandbox({
    config: image.config, options, identity: resolveUser(image.config.User, passwd, group), hostname, features, map: run.map,
    rootfs: { driver: 'overlay', lowers: image.layers, upper: '', work: '', tmpfsSize: 0, userxattr: run.map !== undefined },
    hosts: hostsFile(address === undefined ? undefined : { ip: formatAddress(address), hostname }),
    resolvConf: resolvConf(run, [], formatAddress(run.hello.gateway), options),
  })
  const limits = cgroupWrites(features, options).map(({ controller, file, value }) => `# ${controller} ${file} = ${value}\n`)
  return limits.join('') + listOperations(Buffer.concat([foundation, rest]))
}
