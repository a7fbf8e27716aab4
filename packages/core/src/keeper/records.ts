import { resolve } from 'node:path'

import { noteEvents } from '../container/journal.js'
import { withVolumes } from '../container/journal-words.js'
import { discardKept, listKept, writeKept, type KeptContainer } from '../container/kept.js'
import { MayflyError } from '../errors.js'
import { defaultHome } from '../images/store.js'
import { notRunning } from './made.js'
import { entryOf, isBusy, type Entry } from './entry.js'
import type { Container } from '../container/types.js'

/** What the keeper knows of its containers: on disk first, and told to whoever listens. */
export class Records {
  readonly #entries = new Map<string, Entry>()

  /** Takes up what earlier keepers left. One that was killed wrote down no ends. */
  async load(): Promise<void> {
    for (const record of await listKept()) {
      const entry = entryOf(record)
      this.#entries.set(record.id, entry)
      const lost = record.startedAt !== undefined && record.ended === undefined
      if (lost || record.restarting !== undefined) {
        await this.write(entry, { restarting: undefined, ...(lost ? { ended: { at: Date.now(), code: 137, signal: 'SIGKILL', oomKilled: false } } : {}) })
      }
      if (lost && record.remove) await this.discard(entry)
    }
  }

  /** Whether some run, or will. */
  get busy(): boolean {
    return [...this.#entries.values()].some(isBusy)
  }

  find(id: string): Entry | undefined {
    return this.#entries.get(id)
  }

  /** Throws ERR_MAYFLY_CONTAINER_NOT_FOUND. */
  get(id: string): Entry {
    const entry = this.#entries.get(id)
    if (entry !== undefined) return entry
    throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', `No such container: ${id}`)
  }

  /** By id, name or the start of an id. Throws ERR_MAYFLY_CONTAINER_NOT_FOUND, ERR_MAYFLY_NOT_RUNNING. */
  running(which: string): Container {
    const all = [...this.#entries.values()]
    const found = all.find(({ record }) => record.id === which || record.name === which) ?? all.find(({ record }) => which.length >= 4 && record.id.startsWith(which))
    if (found?.container !== undefined) return found.container
    if (found !== undefined) throw notRunning(found)
    throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', `No such detached container: ${which}`, {
      hint: 'Networks made on the command line connect containers of the command line.',
    })
  }

  /** Throws ERR_MAYFLY_NAME_IN_USE. */
  claim(name: string): void {
    const other = [...this.#entries.values()].find(({ record }) => record.name === name)
    if (other === undefined) return
    throw new MayflyError('ERR_MAYFLY_NAME_IN_USE', `The container name "${name}" is in use by ${other.record.id.slice(0, 12)}`, {
      hint: `Remove or rename that one first: mayfly rm ${name}`,
    })
  }

  /** A new one, with what belongs to its record, which is taken back when that fails. */
  async add(entry: Entry, rest: () => Promise<void>): Promise<void> {
    const { id } = entry.record
    // Before anything waits: nobody else gets the name.
    this.#entries.set(id, entry)
    try {
      await writeKept(entry.record)
      await rest()
    } catch (error) {
      this.#entries.delete(id)
      throw error
    }
  }

  async write(entry: Entry, patch: Partial<KeptContainer>): Promise<void> {
    entry.record = { ...entry.record, ...patch }
    await this.#alone(entry, async () => { if (this.#entries.has(entry.record.id)) await writeKept(entry.record) })
  }

  /** Forgets it, with all that is its own. */
  async discard(entry: Entry): Promise<void> {
    this.#entries.delete(entry.record.id)
    await this.#alone(entry, () => discardKept(entry.record.id))
    this.tell(entry, 'destroy')
  }

  tell({ record }: Entry, action: string, attributes: Readonly<Record<string, string>> = {}, signal?: string): void {
    const { id, name, image, label, options: { mounts } } = record
    const event = { type: 'container' as const, action, id, time: Date.now(), attributes: { ...label.labels, image, name, ...attributes }, signal }
    noteEvents(resolve(defaultHome()), () => withVolumes(event, mounts))
  }

  #alone(entry: Entry, work: () => Promise<void>): Promise<void> {
    const mine = entry.writing.then(work)
    entry.writing = mine.catch(() => undefined)
    return mine
  }
}
