import { randomBytes } from 'node:crypto'

import { encodeCreate, encodeStart, METHOD, type RawExit } from '../native/index.js'
import { Writer } from '../native/bytes.js'
// Not by the room's index: the first slot is made while the rest is still being loaded.
import { compileFoundation, FOUNDATION_OPTIONS, type Foundation } from '../sandbox/foundation.js'
import { deviceWrites } from '../sandbox/limits.js'
import { isPrivate, namespacesOf } from '../sandbox/namespaces.js'
import { Operations } from '../sandbox/operations.js'
import { Kinds, type Kind } from './kinds.js'
import { MOST, type Prepared, type Slot, type Waiting } from './slot.js'
import type { Run as AnyRun } from './supervision.js'

type Run = Omit<AnyRun, 'slots'>

/**
 * The run's prepared places: cgroup, namespaces, network and the kernel's file systems are there before anyone asks,
 * which leaves the root file system and the exec to a start (1.4 ms in the native program instead of 5). Where the same kind
 * of container starts again and again, a slot of its kind has the root file system as well, and the program alone is left (0.6).
 */
export class Slots {
  readonly #run: Run
  readonly #size: number | undefined
  readonly #waiting: Waiting[] = []
  readonly #kinds: Kinds
  #starting = 0
  #most = 1
  #filling = false

  /** `size`: how many slots wait; 0 turns them off. Default: as many as were asked for at once so far, at least 1. */
  constructor(run: Run, size?: number) {
    this.#run = run
    this.#size = size
    this.#kinds = new Kinds((kind) => prepare(run, kind), (slot) => discard(run, slot), size)
    this.#fill()
  }

  /**
   * A place that fits the options: a prepared one, if there is one and it needs neither be fresh nor have a certain id; one of the kind, which has
   * carried out its setting, if there is one. To be followed by `done` with the same kind.
   */
  async take(options: Foundation['options'], flags: number, { afresh = false, kind, id }: { readonly afresh?: boolean; readonly kind?: Kind | undefined; readonly id?: string | undefined } = {}): Promise<Slot> {
    this.#starting += 1
    this.#most = Math.min(MOST, Math.max(this.#most, this.#starting))
    const alike = kind === undefined || id !== undefined ? undefined : this.#kinds.take(kind)
    if (alike !== undefined) return alike
    if (flags !== 0 || afresh || id !== undefined || !isPrivate(options)) return fresh(this.#run, options, id)
    for (;;) {
      // Claimed before it is awaited: one that is still being prepared is further than a new one could be.
      const claimed = this.#waiting.shift()
      if (claimed === undefined) break
      claimed.hold()
      const slot = await claimed.slot
      if (slot === undefined || slot.state === 'dead') continue
      if (isPlain(options) || foundation(this.#run, slot.address, options).equals(slot.foundation)) {
        slot.state = 'taken'
        return slot
      }
      this.#waiting.unshift(claimed)
      break
    }
    return fresh(this.#run, options)
  }

  /** Slots of this kind are not what they should be any more. */
  forget(kind: Kind): void {
    this.#kinds.forget(kind)
  }

  /** To be called when what was begun by `take` has started or failed: slots are made when nobody waits for a start. */
  done(kind?: Kind): void {
    this.#starting -= 1
    if (kind !== undefined) this.#kinds.done(kind)
    if (this.#starting > 0 || this.#filling) return
    this.#filling = true
    // After whoever waited for the start has gone on: making a slot costs this process and the supervisor a millisecond.
    setImmediate(() => {
      this.#filling = false
      if (this.#starting === 0) this.#fill()
    })
  }

  #fill(): void {
    this.#kinds.fill()
    for (let missing = (this.#size ?? this.#most) - this.#waiting.length; missing > 0; missing -= 1) {
      this.#waiting.push(prepare(this.#run))
    }
  }
}

function place(run: Run, options: Foundation['options'], id = randomBytes(32).toString('hex')): Omit<Slot, 'start'> {
  const address = options.network === undefined ? run.addresses?.take() : undefined
  let tell: (exit: RawExit) => void = () => undefined
  const exit = new Promise<RawExit>((resolve) => void (tell = resolve))
  run.exits.set(id, tell)
  return {
    id, address, exit,
    free: () => {
      run.exits.delete(id)
      if (address !== undefined) run.addresses?.free(address)
    },
  }
}

function fresh(run: Run, options: Foundation['options'], id?: string): Slot {
  const slot = place(run, options, id)
  const { create: namespaces, pidOf } = namespacesOf(options)
  return {
    ...slot,
    start: async (rest) => {
      const operations = Buffer.concat([foundation(run, slot.address, options), rest.operations])
      await run.connection.request(METHOD.create, encodeCreate({
        ...rest, id: slot.id, namespaces, pidOf, operations,
        cgroup: [...deviceWrites(run.hello.features, options), ...rest.cgroup],
      }))
    },
  }
}

/** With the first part carried out, and the setting when it is to be of a kind. */
function prepare(run: Run, kind?: Kind): Waiting {
  const slot = place(run, {})
  const { features } = run.hello
  const list = compileFoundation({ network: networkOf(run, slot.address), map: run.map, options: {}, features })
  const { create: namespaces, pidOf } = namespacesOf({})
  const prepared: Prepared = {
    ...slot,
    foundation: Buffer.from(list.part()),
    state: 'waiting',
    start: async (rest) => void await run.connection.request(METHOD.start, encodeStart({ ...rest, id: slot.id })),
  }
  let waiter: number | undefined
  const create = (setting: Uint8Array, scratch: string): Promise<unknown> => {
    const operations = Buffer.concat([prepared.foundation, setting, new Operations().await()])
    const request = encodeCreate({
      id: slot.id, flags: 0, namespaces, pidOf, label: new Uint8Array(), scratch, cgroup: deviceWrites(features, {}), logCap: 0, operations,
    })
    const { id, reply } = run.connection.open(METHOD.create, request, undefined, true)
    waiter = id
    return reply
  }
  void slot.exit.then(() => {
    if (prepared.state !== 'taken') discard(run, prepared)
  })
  // A start that finds none goes without, and reports what is wrong.
  const failed = (): undefined => void slot.free()
  const made = kind === undefined ? create(new Uint8Array(), '').then(() => prepared)
    : kind.setting(slot).then(async ({ setting, situation }) => {
      await create(setting, situation.scratch)
      return Object.assign(prepared, { situation })
    })
  return { slot: made.catch(failed), hold: () => void (waiter === undefined || run.connection.setIdle(waiter, false)) }
}

/** A slot that nobody will take. */
function discard(run: Run, slot: Prepared): void {
  slot.state = 'dead'
  if (run.connection.lost) return
  const { reply } = run.connection.open(METHOD.remove, new Writer().str(slot.id).take(), undefined, true)
  void reply.catch(() => undefined).then(slot.free)
}

/** What slots are made with: no option that changes the first part of the list. */
function isPlain(options: Foundation['options']): boolean {
  return FOUNDATION_OPTIONS.every((name) => options[name] === undefined)
}

export function foundation(run: Run, address: number | undefined, options: Foundation['options']): Buffer {
  return compileFoundation({ network: networkOf(run, address), map: run.map, options, features: run.hello.features }).part()
}

/** The network of a container with this address, as the sandbox wants it. */
export function networkOf({ hello }: Run, address: number | undefined): Foundation['network'] {
  return address === undefined ? undefined : { address, prefix: hello.prefix, gateway: hello.gateway }
}
