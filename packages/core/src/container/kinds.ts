import type { Image } from '../images/index.js'
import { FOUNDATION_OPTIONS } from '../sandbox/foundation.js'
import type { Driver } from './drivers.js'
import type { Resolved } from './resolve.js'
import type { Situation } from './setting.js'
import { MOST, type Place, type Prepared, type Waiting } from './slot.js'
import type { RunOptions } from './types.js'

/** Containers whose operation lists differ in nothing but place and program: one image, and the same options but for those of the program. */
export interface Kind {
  readonly key: string
  /** The operations between the first part of the list and the program, for a place, and what else they depend on. */
  setting(place: Place): Promise<{ readonly setting: Buffer; readonly situation: Situation }>
}

/** Options that have no part in the setting: what they mean is the program's, the port's, the limits' or this process's. All others tell kinds apart. */
export const OUTSIDE: ReadonlySet<string> = new Set<keyof RunOptions>([
  'command', 'entrypoint', 'env', 'init', 'labels', 'name', 'ports', 'loopback', 'hostPorts', 'ready', 'startTimeout', 'signal', 'stopSignal', 'healthcheck',
  'pull', 'onPull', 'platform', 'cpus', 'cpuQuota', 'cpuPeriod', 'cpuShares', 'pids',
])
const images = new WeakMap<Image, number>()
let seen = 0

/**
 * What tells a container's kind; nothing for one that slots of a kind do not serve. Containers of one kind have the same
 * setting but for their place, which is compared apart.
 */
export function kindKey(image: Image, driver: Driver, { options, networks, networkOf }: Resolved): string | undefined {
  const alone = networks.length === 0 && networkOf === undefined && FOUNDATION_OPTIONS.every((name) => options[name] === undefined)
  if (!alone || driver.name !== 'overlay' || options.seccomp !== undefined) return undefined
  let number = images.get(image)
  if (number === undefined) images.set(image, number = seen++)
  let key = String(number)
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && !OUTSIDE.has(name)) key += ` ${name}=${JSON.stringify(value)}`
  }
  return key
}

interface Known {
  readonly kind: Kind
  readonly waiting: Waiting[]
  /** Prepared and alive. */
  readonly ready: Prepared[]
  starts: number
  starting: number
  most: number
}

/** Of so many kinds slots are kept: of those that were started last. */
const KINDS = 3

/** The slots that are prepared for a kind of container, from its second start on. */
export class Kinds {
  readonly #prepare: (kind: Kind) => Waiting
  readonly #discard: (slot: Prepared) => void
  readonly #size: number
  /** The last started one last. */
  readonly #known = new Map<string, Known>()

  /** `size`: at most so many of each kind. */
  constructor(prepare: (kind: Kind) => Waiting, discard: (slot: Prepared) => void, size = MOST) {
    this.#prepare = prepare
    this.#discard = discard
    this.#size = size
  }

  /** A slot of this kind that waits. One that is still being prepared is no faster than others. */
  take(kind: Kind): Prepared | undefined {
    const known = this.#known.get(kind.key) ?? { kind, waiting: [], ready: [], starts: 0, starting: 0, most: 1 }
    this.#known.delete(kind.key)
    this.#known.set(kind.key, known)
    known.starting += 1
    known.most = Math.min(this.#size, Math.max(known.most, known.starting))
    const slot = known.ready.find(({ state }) => state === 'waiting')
    known.ready.splice(0, known.ready.length, ...known.ready.filter((one) => one !== slot && one.state === 'waiting'))
    if (slot !== undefined) slot.state = 'taken'
    return slot
  }

  done({ key }: Kind): void {
    const known = this.#known.get(key)
    if (known === undefined) return
    known.starting = Math.max(0, known.starting - 1)
    known.starts += 1
  }

  fill(): void {
    for (const { kind } of [...this.#known.values()].slice(0, -KINDS)) this.forget(kind)
    for (const known of this.#known.values()) {
      const alive = known.ready.filter(({ state }) => state === 'waiting').length
      for (let missing = known.starts < 2 ? 0 : known.most - alive - known.waiting.length; missing > 0; missing -= 1) this.#add(known)
    }
  }

  /** Its slots are not kept any longer. */
  forget({ key }: Kind): void {
    const known = this.#known.get(key)
    this.#known.delete(key)
    for (const slot of known?.ready ?? []) if (slot.state === 'waiting') this.#discard(slot)
  }

  #add(known: Known): void {
    const waiting = this.#prepare(known.kind)
    known.waiting.push(waiting)
    void waiting.slot.then((slot) => {
      known.waiting.splice(known.waiting.indexOf(waiting), 1)
      const current = this.#known.get(known.kind.key) === known
      if (slot === undefined) this.forget(known.kind)
      else if (current) known.ready.push(slot)
      else this.#discard(slot)
    })
  }
}
