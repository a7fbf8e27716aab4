import type { Circus } from '@jest/types'
import { describeUnasked, type knownAddresses, type Lease, type Session, type TestContainer } from '@mayfly/core/worker'
import { explain } from './explain.js'
import type { TestLeases } from './session.js'

/** Follows a file's tests: leases what each needs before it begins, and takes it back after it has ended. */
export interface TestFollower extends TestLeases {
  /** Members that every test has: pragmas of scope `test`. */
  always(members: readonly TestContainer[]): void
  follow(event: Circus.Event): Promise<void>
}

interface Running {
  readonly test: object
  readonly members: TestContainer[]
  readonly ready: Promise<unknown>
}

const nothing = (): Promise<void> => Promise.resolve()

/** `file` answers what the whole file holds, `known` the addresses of its configuration's services. */
export function followTests(session: () => Session, file: () => readonly (readonly [string, Lease])[], known: () => ReturnType<typeof knownAddresses>): TestFollower {
  const needs = new WeakMap<object, readonly TestContainer[]>()
  const running = new Map<object, Running>()
  const bodies = new WeakMap<object, Running>()
  let everywhere: readonly TestContainer[] = []
  let begun = false
  let current: Running | undefined
  /** Whose beforeAll runs or ran last, and what is to be done when a block is over. */
  let block: object | undefined
  const afterwards = new Map<object, (() => Promise<void>)[]>()

  const start = (test: object, members: readonly TestContainer[], concurrent: boolean): Running => {
    const ready = Promise.all(members.map(member => member.begin(test, session(), concurrent)))
    // Told by the test itself, if it has a body of ours; else by its first use.
    ready.catch(() => undefined)
    return { test, members: [...members], ready }
  }
  const attach = async (one: Running, members: readonly TestContainer[]): Promise<void> => {
    one.members.push(...members)
    await Promise.all(members.map(member => member.begin(one.test, session(), false)))
  }
  const heldBy = ({ test, members }: Running): (readonly [string, Lease])[] => members.flatMap(member => {
    const lease = member.held(test)
    return lease === undefined ? [] : [[String(member.key), lease] as const]
  })

  return {
    get begun() { return begun },
    get running() { return running.size > 0 },
    afterBlock: work => {
      if (block !== undefined) afterwards.set(block, [...afterwards.get(block) ?? [], work])
    },
    always: members => void (everywhere = members),
    begin: async members => { if (current !== undefined) await attach(current, members) },
    need: (body, members) => void needs.set(body, members),
    of: async (body, members) => {
      const known = bodies.get(body)
      if (known !== undefined) {
        await known.ready
        return { test: known.test, done: nothing }
      }
      if (current !== undefined) {
        await attach(current, members)
        return { test: current.test, done: nothing }
      }
      const one = start({}, members, true)
      const done = async (): Promise<void> => void (await Promise.all(members.map(member => member.end(one.test))))
      await one.ready.catch(async (error: unknown) => { await done(); throw error })
      return { test: one.test, done }
    },
    follow: async event => {
      if (event.name === 'run_start') begun = true
      if (event.name === 'hook_start' && event.hook.type === 'beforeAll') block = event.hook.parent
      if (event.name === 'run_describe_finish') {
        const works = afterwards.get(event.describeBlock) ?? []
        afterwards.delete(event.describeBlock)
        await Promise.all(works.map(work => work()))
      }
      if (event.name === 'test_started') {
        const { test } = event
        const one = start(test, [...everywhere, ...(needs.get(test.fn ?? test) ?? [])], test.concurrent)
        running.set(test, one)
        if (test.fn != null) bodies.set(test.fn, one)
        if (!test.concurrent) current = one
        await one.ready.catch((error: unknown) => { if (everywhere.length > 0) test.errors.push(error as Circus.TestError) })
        await session().beginTest({ concurrent: test.concurrent }).catch((error: unknown) => { test.errors.push(error as Circus.TestError) })
      }
      if (event.name === 'test_done') {
        const { test } = event
        const one = running.get(test)
        running.delete(test)
        if (current === one) current = undefined
        const ended = await session().endTest({ failed: test.errors.length > 0 })
        await explain(test.errors, [...file(), ...(one === undefined ? [] : heldBy(one))], ended, () => describeUnasked(known(), session))
        if (one !== undefined) await Promise.all(one.members.map(member => member.end(test)))
        // What several at the same time share is as it was when the last of them is over.
        if (running.size === 0) await session().mend()
      }
    },
  }
}
