import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { firstQuery } from '../postgres.mjs'
import { configOf } from './project.mjs'

/**
 * A contestant: leases a migrated PostgreSQL that waits in the run host's pool, and asks it its first question. `parts` gets the
 * milliseconds of the lease alone.
 */
export async function fromThePool(directory, modules, parts) {
  mkdirSync(directory)
  symlinkSync(modules, join(directory, 'node_modules'))
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(directory, 'mayfly.config.js'), configOf('mayfly')['mayfly.config.js'])
  const { launchRun, openSession } = await import('@mayfly/core/plugin')
  const run = await launchRun({ directories: [directory], slots: 1 })
  let files = 0
  const once = async () => {
    const session = openSession(run.address, join(directory, `${files++}.test.js`), 1)
    await session.prepare({ name: 'db' })
    const began = performance.now()
    const { grant: { address: { host } } } = await session.lease({ name: 'db' })
    parts.push(performance.now() - began)
    await firstQuery(host, 5432)
    const took = performance.now() - began
    await session.close()
    return took
  }
  return { once, close: () => run.close() }
}
