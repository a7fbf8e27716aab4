import { spawn, type ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'

import { MayflyError } from '../errors.js'
import { nativeBinary } from '../native/binary.js'

/** A lock that other processes honour, held until released; the kernel releases it with the process. */
export interface FileLock {
  release(): Promise<void>
}

/**
 * Takes the lock on `file`, waiting for other holders; a shared one only for holders of it alone. Throws
 * ERR_MAYFLY_ABORTED or ERR_MAYFLY_NATIVE_FAILED.
 */
export async function lockFile(file: string, signal?: AbortSignal, { shared = false }: { readonly shared?: boolean } = {}): Promise<FileLock> {
  const lock = await take(shared ? 'share' : 'take', file, signal)
  // Only who tries is told that somebody else has it.
  if (lock === undefined) throw notLocked('busy')
  return lock
}

/** The lock on `file` unless somebody else holds it. Throws as `lockFile` does. */
export async function tryLockFile(file: string, signal?: AbortSignal): Promise<FileLock | undefined> {
  return take('try', file, signal)
}

type Word = 'take' | 'share' | 'try'

async function take(word: Word, file: string, signal: AbortSignal | undefined): Promise<FileLock | undefined> {
  locker ??= new Locker()
  return locker.take(word, file, signal)
}

let locker: Locker | undefined

/**
 * The native program that holds all locks of this process, from the first one's asking to the last one's release. One for each
 * lock would cost 5 ms: starting a process copies the page tables of this one.
 */
class Locker {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #ended: Promise<void>
  readonly #asked = new Map<number, (outcome: 'locked' | 'busy' | MayflyError) => void>()
  readonly #dropped = new Map<number, () => void>()
  #count = 0
  #users = 0
  #heard = ''
  #trouble = ''

  constructor() {
    this.#child = spawn(nativeBinary(), ['locks'], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child.stdin.on('error', () => undefined)
    this.#child.stderr.on('data', (text: Buffer) => { this.#trouble += text.toString() })
    this.#child.stdout.on('data', (text: Buffer) => { this.#hear(text.toString()) })
    this.#ended = new Promise((resolve) => {
      const end = (why: string): void => {
        if (locker === this) locker = undefined
        for (const answer of this.#asked.values()) answer(notLocked(this.#trouble.trim() || why))
        for (const gone of this.#dropped.values()) gone()
        resolve()
      }
      this.#child.once('error', ({ message }) => { end(message) }).once('close', (code, name) => { end(`the native program ended (${String(name ?? code)})`) })
    })
  }

  async take(word: Word, file: string, signal: AbortSignal | undefined): Promise<FileLock | undefined> {
    const id = this.#count += 1
    this.#users += 1
    const aborted = (): MayflyError => new MayflyError('ERR_MAYFLY_ABORTED', 'The pull was aborted', { cause: signal?.reason })
    const abort = (): void => { this.#asked.get(id)?.(aborted()) }
    signal?.addEventListener('abort', abort, { once: true })
    let release: Promise<void> | undefined
    try {
      if (signal?.aborted === true) throw aborted()
      const outcome = await new Promise<'locked' | 'busy'>((resolve, reject) => {
        this.#asked.set(id, (said) => { if (typeof said === 'string') resolve(said); else reject(said) })
        this.#child.stdin.write(`${word} ${String(id)} ${file}\0`)
      })
      if (outcome === 'busy') return void await this.#drop(id)
    } catch (error) {
      await this.#drop(id)
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
      this.#asked.delete(id)
    }
    return { release: () => release ??= this.#drop(id) }
  }

  async #drop(id: number): Promise<void> {
    const gone = new Promise<void>((resolve) => { this.#dropped.set(id, resolve) })
    this.#child.stdin.write(`drop ${String(id)}\0`)
    await Promise.race([gone, this.#ended])
    this.#dropped.delete(id)
    this.#users -= 1
    if (this.#users > 0) return
    if (locker === this) locker = undefined
    this.#child.stdin.end()
    await this.#ended
  }

  #hear(text: string): void {
    const lines = (this.#heard + text).split('\n')
    this.#heard = lines.pop() ?? ''
    for (const line of lines) {
      const [, word, id = '', why = ''] = /^(\w+) (\d+) ?(.*)$/.exec(line) ?? []
      if (word === 'locked' || word === 'busy') this.#asked.get(Number(id))?.(word)
      if (word === 'failed') this.#asked.get(Number(id))?.(notLocked(why))
      if (word === 'dropped') this.#dropped.get(Number(id))?.()
    }
  }
}

function notLocked(why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_NATIVE_FAILED', `Cannot lock the image store: ${why}`)
}
