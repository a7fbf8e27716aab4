import { freemem, totalmem } from 'node:os'
import { MayflyError } from '../errors.js'

/** Who wants to start something. */
export interface Applicant {
  readonly slot: number
  /** The file's attempt. */
  readonly owner: string
  readonly name: string
  /** Whether it ends before the run does: only that is worth waiting for. */
  readonly passing: boolean
}

/**
 * Lets starts through as far as memory reaches. When it is short, files wait in turn: whoever has something already goes on,
 * so that nobody waits with half of what it needs; and where nothing runs, one always may.
 */
export interface Admission {
  enter(who: Applicant, signal?: AbortSignal): Promise<Entry>
}

export interface Entry {
  /** It has started: what it takes of the memory shows. */
  settle(): void
  /** Harmless when it has left. */
  leave(): void
}

export interface AdmissionOptions {
  /** Whether there is room for one more, while so many others are starting. */
  readonly room?: (starting: number) => boolean
  /** Milliseconds between looks while somebody waits. */
  readonly pause?: number
  readonly waits?: (who: Applicant) => void
}

export function createAdmission({ room = hasMemory, pause = 200, waits = () => undefined }: AdmissionOptions = {}): Admission {
  const inside = new Map<string, number>()
  let starting = 0
  const queue: { readonly who: Applicant; readonly admit: () => void }[] = []
  let timer: NodeJS.Timeout | undefined

  const count = (owner: string, change: number): void => {
    const now = (inside.get(owner) ?? 0) + change
    if (now <= 0) inside.delete(owner)
    else inside.set(owner, now)
  }
  const look = (): void => {
    clearTimeout(timer)
    timer = undefined
    while (queue.length > 0 && (inside.size === 0 || room(starting))) queue.shift()?.admit()
    // Memory also comes back by what others on this machine do.
    if (queue.length > 0) timer = setTimeout(look, pause)
    timer?.unref()
  }
  const enter = (owner: string, passing: boolean): Entry => {
    let left = !passing
    let settled = false
    if (passing) count(owner, 1)
    starting += 1
    const settle = (): void => {
      if (settled) return
      settled = true
      starting -= 1
      look()
    }
    return {
      settle,
      leave: () => {
        settle()
        if (left) return
        left = true
        count(owner, -1)
        look()
      },
    }
  }
  return {
    enter: async (who, signal) => {
      const { owner, passing } = who
      if (inside.has(owner) || inside.size === 0 || (queue.length === 0 && room(starting))) return enter(owner, passing)
      waits(who)
      return await new Promise<Entry>((resolve, reject) => {
        const abort = (): void => {
          const at = queue.indexOf(waiting)
          if (at >= 0) queue.splice(at, 1)
          reject(new MayflyError('ERR_MAYFLY_ABORTED', `The start of "${who.name}" was aborted`))
        }
        const waiting = {
          who,
          admit: () => {
            signal?.removeEventListener('abort', abort)
            // Before the next in the queue is looked at.
            resolve(enter(owner, passing))
          },
        }
        signal?.addEventListener('abort', abort, { once: true })
        queue.push(waiting)
        look()
      })
    },
  }
}

/** What a service is taken to need while it starts: bytes. */
const USUAL = 64 * 1024 ** 2

/** A tenth of the machine's memory, and half a gigabyte, stay free. */
export function hasMemory(starting = 0): boolean {
  // Where a limit of the process's own is known, it counts.
  const available = (process as { availableMemory?: () => number }).availableMemory?.() ?? freemem()
  return available - starting * USUAL > Math.min(Math.max(totalmem() / 10, 512 * 1024 ** 2), totalmem() / 4)
}
