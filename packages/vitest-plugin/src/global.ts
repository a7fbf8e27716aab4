import { cacheKey, describeRun, findConfig, launchOrSkip, openSession, RUN_VARIABLE, type LaunchedRun, type RunAddress, type Session } from '@mayfly/core/plugin'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import type { ProvidedServices } from './provided.js'

const RUN = Symbol.for('mayfly.vitest.run')
type Kept = typeof globalThis & { [RUN]?: Running }

interface Running {
  readonly launch: () => Promise<LaunchedRun>
  run: Promise<LaunchedRun>
  /** Settles when the run heeds the last change. */
  fresh: Promise<void>
  /** What it was started with: the configurations, their inputs and their modules. Known in watch mode only. */
  state: string
  users: number
}

/** Vitest's global set-up: one run host for the whole run, however many projects it has and however often it is set up. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const shared = globalThis as Kept
  const { root, maxWorkers, browser } = project.config
  const slots = typeof maxWorkers === 'number' ? maxWorkers : availableParallelism()
  const roots = [root, ...project.vitest.projects.map(({ config }) => config.root)]
  const directories = [...new Set(roots)]
  const watching = project.vitest.config.watch
  // None where an editor opens it before it runs any.
  const selected = project.vitest.state.getPaths()
  const files = watching || selected.length === 0 ? undefined : selected
  const launch = (): Promise<LaunchedRun> => launchOrSkip({ directories, slots, watching, ahead: true, files })
  const kept = (shared[RUN] ??= { launch, run: launch(), fresh: Promise.resolve(), state: watching ? await stateOf(directories) : '', users: 0 })
  let address: RunAddress
  try {
    address = (await kept.run).address
  } catch (error) {
    delete shared[RUN]
    throw error
  }
  kept.users += 1
  let session: Session | undefined
  const offer = async (): Promise<void> => {
    address = (await kept.run).address
    process.env[RUN_VARIABLE] = JSON.stringify(address)
    // A page has no business with the run's token.
    if (!browser.enabled) project.provide('mayflyRun', JSON.stringify(address))
    await session?.close()
    // Named for no file: only the place counts, for the configuration that holds there.
    session = openSession(address, join(root, 'vitest.config'), 1, { standing: watching })
    project.provide('mayfly', await shareServices(address, root, session, browser.enabled))
  }
  await offer()
  project.onTestsRerun(async () => {
    const state = await stateOf(directories)
    // A configuration or an input has changed since the last re-run; each project is told of it.
    if (state !== kept.state) kept.fresh = refresh(kept, state)
    await kept.fresh
    await offer()
  })
  return async () => {
    await session?.close()
    kept.users -= 1
    if (kept.users > 0) return
    delete shared[RUN]
    delete process.env[RUN_VARIABLE]
    const summary = await (await kept.run).close()
    if (summary !== undefined && project.config.silent !== true) process.stderr.write(describeRun(summary))
  }
}

async function refresh(kept: Running, state: string): Promise<void> {
  kept.state = state
  try {
    await (await kept.run).reload()
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_MAYFLY_RUN_LOST') return void await (kept.run = kept.launch())
    // The next re-run tries again.
    kept.state = ''
    throw error
  }
}

async function stateOf(directories: readonly string[]): Promise<string> {
  // One that cannot be loaded is told by the run's start.
  return (await Promise.all(directories.map(directory => cacheKey(directory).catch(() => '')))).join()
}

/** Those of scope `run`, which have one address for all. Browsers cannot lease: for them they are started here. */
async function shareServices({ addresses }: RunAddress, root: string, session: Session, start: boolean): Promise<ProvidedServices> {
  const known = addresses[findConfig(root) ?? '']
  const first = known?.['1'] ?? {}
  const shared = Object.entries(first).filter(([name, { host, ports }]) => Object.values(known ?? {}).every(slot =>
    slot[name]?.host === host && JSON.stringify(slot[name].ports) === JSON.stringify(ports)))
  if (start) await Promise.all(shared.map(([name]) => session.lease({ name, scope: 'run' }).catch(unlessNarrower)))
  return Object.fromEntries(shared.map(([name, { host, ports, facts }]) => [name, { host, ports, ...facts }])) as ProvidedServices
}

/** With one worker every service has one address; those that live shorter than the run are left to the tests. */
function unlessNarrower(error: unknown): void {
  if ((error as { code?: unknown }).code !== 'ERR_MAYFLY_OPTION_INVALID') throw error
}
