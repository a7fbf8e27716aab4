import type { EnvironmentContext, JestEnvironmentConfig } from '@jest/environment'
import type { Circus } from '@jest/types'
import {
  createFileLeases,
  createHandle,
  createTestContainer,
  currentRun,
  exportedVariables,
  knownAddresses,
  launchRun,
  MayflyError,
  openSession,
  setVariables,
  type FileLeases,
  type LaunchedRun,
  type Lease,
  type RunAddress,
  type Session,
  type TestContainer,
  type Use,
  type Variables,
} from '@mayfly/core/plugin'
import { dirname } from 'node:path'
import { OPTION, type EnvironmentClass } from './base.js'
import { usesOf } from './pragma.js'
import { SESSION, type FileSession } from './session.js'
import { followTests, type TestFollower } from './tests.js'

/** A test environment like `Base` whose files get containers. Used directly, or by `withMayfly` around the user's own. */
export function environmentOver(Base: EnvironmentClass): EnvironmentClass {
  return class MayflyEnvironment extends Base {
    readonly #file: string
    readonly #uses: readonly Use[]
    readonly #slot = slotOf()
    readonly #before: Variables
    #session: Session | undefined
    #asked = false
    #known: ReturnType<typeof knownAddresses> = {}
    readonly #leases: FileLeases = createFileLeases(() => this.#opened())
    readonly #tests: TestFollower = followTests(() => this.#opened(), () => this.#leases.held(), () => this.#known)

    constructor(config: JestEnvironmentConfig, context: EnvironmentContext) {
      // Set-up files run before setup(): what they read in the environment must stand before the base copies it.
      const run = currentRun()
      const before = run === undefined ? undefined : setVariables(exportedVariables(run, context.testPath, slotOf()))
      super(withoutOurs(config), context)
      this.#before = before ?? {}
      this.#file = context.testPath
      this.#uses = usesOf(context.docblockPragmas)
      const inherited = this.handleTestEvent?.bind(this)
      this.handleTestEvent = async (event: Circus.AsyncEvent | Circus.SyncEvent, state: Circus.State): Promise<void> => {
        await inherited?.(event as Circus.AsyncEvent, state)
        if (run?.unavailable === undefined) await this.#tests.follow(event)
        // Before the hooks, of which a block without tests runs none.
        else if (event.name === 'run_start' && this.#wanted()) skipAll(state.rootDescribeBlock)
      }
    }

    override async setup(): Promise<void> {
      await super.setup()
      const run = currentRun() ?? (await ownRun(dirname(this.#file))).address
      const inside = this.global['process'] as NodeJS.Process | undefined
      Object.assign(inside?.env ?? {}, exportedVariables(run, this.#file, this.#slot))
      if (run.unavailable !== undefined) {
        Object.assign(this.global, { [SESSION]: this.#absentSession() })
        return
      }
      this.#session = openSession(run, this.#file, this.#slot)
      this.#known = knownAddresses(run, this.#file, this.#slot)
      const session = this.#fileSession(run)
      const scopes = await Promise.all(this.#uses.map(use => session.begin(use)))
      const perTest = this.#uses.filter((_, nth) => scopes[nth] === 'test')
      const members = perTest.map(use => session.perTest(use.as ?? use.name, use))
      this.#tests.always(members)
      const declared = new Map<string, TestContainer | undefined>(this.#uses.map(use => [use.as ?? use.name, members[perTest.indexOf(use)]]))
      Object.assign(this.global, { [SESSION]: { ...session, declared: (name: string) => declared.has(name), handle: (name: string, own?: TestContainer) => declared.get(name)?.handle ?? session.handle(name, own) } })
    }

    override async teardown(): Promise<void> {
      try {
        await this.#session?.close()
      } finally {
        this.#session = undefined
        setVariables(this.#before)
        await super.teardown()
      }
    }

    /** Whether something of the file wants a container. */
    #wanted(): boolean {
      return this.#uses.length > 0 || this.#asked
    }

    /** On a machine without containers: handles that lead nowhere, of tests that do not run. */
    #absentSession(): FileSession {
      const session = this.#fileSession({ socket: '', token: '', addresses: {} })
      const asked = (): void => void (this.#asked = true)
      return { ...session, handle: (name, own) => { asked(); return session.handle(name, own) }, perTest: (key, use) => { asked(); return session.perTest(key, use) } }
    }

    #opened(): Session {
      if (this.#session !== undefined) return this.#session
      throw new MayflyError('ERR_MAYFLY_NOT_STARTED', 'This test file has ended')
    }

    #fileSession(run: RunAddress): FileSession {
      const known = knownAddresses(run, this.#file, this.#slot)
      const held = (name: string): Lease | undefined => this.#leases.held().find(([one]) => one === name)?.[1]
      return {
        ...this.#leases,
        prepare: use => this.#opened().prepare(use),
        handle: (name, own) => createHandle(name, { lease: () => held(name) ?? own?.current(), address: () => known[name] }),
        declared: () => false,
        perTest: (key, use) => createTestContainer(key, use, () => known[use.as ?? use.name]),
        reach: server => this.#opened().reach(server, this.#tests.running ? 'test' : 'file'),
        tests: this.#tests,
      }
    }
  }
}

function skipAll(block: Circus.DescribeBlock): void {
  for (const child of block.children) {
    if (child.type === 'describeBlock') skipAll(child)
    else child.mode = 'skip'
  }
}

/** Jest makes every option a global of the tests. */
function withoutOurs(config: JestEnvironmentConfig): JestEnvironmentConfig {
  const { [OPTION]: _ours, ...testEnvironmentOptions } = config.projectConfig.testEnvironmentOptions
  return { ...config, projectConfig: { ...config.projectConfig, testEnvironmentOptions } }
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
