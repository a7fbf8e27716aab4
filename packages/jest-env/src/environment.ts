import type { EnvironmentContext, JestEnvironment, JestEnvironmentConfig } from '@jest/environment'
import type { Circus } from '@jest/types'
import {
  createHandle,
  currentRun,
  describeContainers,
  exportedVariables,
  knownAddresses,
  launchRun,
  openSession,
  type LaunchedRun,
  type Lease,
  type RunAddress,
  type Session,
  type Use,
} from '@mayfly/core/plugin'
import { dirname } from 'node:path'
import { usesOf } from './pragma.js'
import { SESSION, type FileSession } from './session.js'

type EnvironmentClass = new (config: JestEnvironmentConfig, context: EnvironmentContext) => JestEnvironment

/** A test environment like `Base` whose files get containers. Used directly, or by `withMayfly` around the user's own. */
export function environmentOver(Base: EnvironmentClass): EnvironmentClass {
  return class MayflyEnvironment extends Base {
    readonly #file: string
    readonly #uses: readonly Use[]
    readonly #slot = Number(process.env['JEST_WORKER_ID'] ?? 1)
    #session: Session | undefined
    readonly #leases = new Map<string, Lease>()

    constructor(config: JestEnvironmentConfig, context: EnvironmentContext) {
      // Set-up files run before setup(): what they read in the environment must stand before the base copies it.
      const run = currentRun()
      if (run !== undefined) Object.assign(process.env, exportedVariables(run, context.testPath, slotOf()))
      super(config, context)
      this.#file = context.testPath
      this.#uses = usesOf(context.docblockPragmas)
      const inherited = this.handleTestEvent?.bind(this)
      this.handleTestEvent = async (event: Circus.AsyncEvent | Circus.SyncEvent, state: Circus.State): Promise<void> => {
        await inherited?.(event as Circus.AsyncEvent, state)
        if (event.name === 'test_done') await explain(event.test.errors, this.#leases)
      }
    }

    override async setup(): Promise<void> {
      await super.setup()
      const run = currentRun() ?? (await ownRun(dirname(this.#file))).address
      Object.assign(process.env, exportedVariables(run, this.#file, this.#slot))
      const session = openSession(run, this.#file, this.#slot)
      this.#session = session
      const lease = async (use: Use): Promise<Lease> => {
        const taken = await session.lease(use)
        this.#leases.set(use.as ?? use.name, taken)
        return taken
      }
      await Promise.all(this.#uses.map(lease))
      Object.assign(this.global, { [SESSION]: this.#fileSession(run, session, lease) })
    }

    override async teardown(): Promise<void> {
      try {
        await this.#session?.close()
      } finally {
        this.#session = undefined
        await super.teardown()
      }
    }

    #fileSession(run: RunAddress, session: Session, lease: (use: Use) => Promise<Lease>): FileSession {
      const known = knownAddresses(run, this.#file, this.#slot)
      return {
        lease,
        leased: name => this.#leases.get(name),
        release: async name => {
          const taken = this.#leases.get(name)
          this.#leases.delete(name)
          await taken?.giveBack()
        },
        handle: name => createHandle(name, { lease: () => this.#leases.get(name), address: () => known[name] }),
      }
    }
  }
}

/** Puts what the test's containers said into its first error. Reporters print the stack: the message is edited in vain. */
async function explain(errors: readonly unknown[], leases: Iterable<readonly [string, Lease]>): Promise<void> {
  const first: unknown = errors[0]
  const candidates: readonly unknown[] = Array.isArray(first) ? first : [first]
  const error = candidates.find((one): one is { stack: string } => typeof (one as { stack?: unknown } | undefined)?.stack === 'string')
  if (error === undefined) return
  const said = await describeContainers(leases)
  const frames = error.stack.search(/\n\s+at /)
  error.stack = frames < 0 ? error.stack + said : error.stack.slice(0, frames) + said + error.stack.slice(frames)
}

const OWN_RUN = Symbol.for('mayfly.jest.run')

/** Without global set-up every worker has a run of its own, which ends with the worker. */
async function ownRun(directory: string): Promise<LaunchedRun> {
  const shared = globalThis as { [OWN_RUN]?: Promise<LaunchedRun> }
  if (shared[OWN_RUN] === undefined) {
    process.stderr.write(
      'mayfly: without its global set-up every Jest worker starts a run of its own. Add withMayfly() to jest.config.\n',
    )
    shared[OWN_RUN] = launchRun({ directories: [directory], slots: slotOf() })
  }
  return await shared[OWN_RUN]
}

function slotOf(): number {
  return Number(process.env['JEST_WORKER_ID'] ?? 1)
}
