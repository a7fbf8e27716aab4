import { mkdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { MayflyError } from '../errors.js'
import { encodePortOpen, encodePortTarget, METHOD, Reader, type Connection } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { parseListeners, parseUnix, type Listener } from '../network/listeners.js'
import type { Run } from './supervision.js'

const UNIX = 3
/** sun_path has 108 bytes, the last of them 0. */
const LONGEST = 107

/** The unix sockets of one container that were opened on this machine. */
export class Sockets {
  readonly #run: Run
  readonly #container: string
  readonly #opened = new Map<string, Promise<string>>()
  readonly #ids: number[] = []
  readonly #directories: string[] = []

  constructor(run: Run, container: string) {
    this.#run = run
    this.#container = container
  }

  /**
   * A path of this machine that leads to the container's socket `path`; of a directory with all the sockets in it, when it
   * is one. Throws ERR_MAYFLY_OPTION_INVALID when nothing listens there.
   */
  open(path: string): Promise<string> {
    const wanted = normal(path)
    const known = this.#opened.get(wanted)
    if (known !== undefined) return known
    const opening = this.#open(wanted)
    this.#opened.set(wanted, opening)
    opening.catch(() => this.#opened.delete(wanted))
    return opening
  }

  close(): void {
    const { connection } = this.#run
    for (const id of this.#ids.splice(0)) if (!connection.lost) connection.request(METHOD.portClose, new Writer().u32(id).take()).catch(() => undefined)
    for (const directory of this.#directories.splice(0)) rm(directory, { recursive: true, force: true }).catch(() => undefined)
  }

  async #open(wanted: string): Promise<string> {
    const all = await listUnix(this.#run.connection, this.#container)
    const exact = all.filter((path) => normal(path) === wanted)
    const found = exact.length > 0 ? exact.slice(0, 1) : all.filter((path) => dirname(normal(path)) === wanted)
    if (found.length === 0) {
      throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Nothing in the container listens on the unix socket ${wanted}, nor on one in it`, {
        hint: all.length === 0 ? 'Nothing in it listens on any.' : `It listens on ${all.join(', ')}.`, details: { sockets: all },
      })
    }
    // In the run's own place, so that whoever tidies up after it finds them; short, since a socket's path is.
    const directory = join(`${this.#run.socketPath}.d`, String(this.#run.nextPort++))
    await mkdir(directory, { recursive: true, mode: 0o700 })
    this.#directories.push(directory)
    await Promise.all(found.map((path) => this.#bridge(join(directory, basename(path)), path)))
    return exact.length > 0 ? join(directory, basename(wanted)) : directory
  }

  async #bridge(path: string, inside: string): Promise<void> {
    const longer = [path, inside].find((one) => Buffer.byteLength(one) > LONGEST)
    if (longer !== undefined) throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `${longer} is too long for the path of a socket, which has ${LONGEST} bytes at most`)
    const id = this.#run.nextPort++
    const { connection } = this.#run
    await connection.request(METHOD.portOpen, encodePortOpen(id, UNIX, 0, 0, { host: path }))
    this.#ids.push(id)
    await connection.request(METHOD.portTarget, encodePortTarget(id, this.#container, 0, 0, inside))
  }
}

/** Paths of unix sockets that listen in the container's network namespace. */
export async function listUnix(connection: Connection, container: string): Promise<string[]> {
  return parseUnix(new Reader(await connection.request(METHOD.netdev, new Writer().str(container).str('unix').take())).str())
}

/** TCP sockets that listen inside. */
export async function listTcp(connection: Connection, container: string): Promise<Listener[]> {
  return parseListeners(await connection.request(METHOD.sockets, new Writer().str(container).take()))
}

/** /var/run is /run everywhere, and both are written. */
function normal(path: string): string {
  return join('/', path).replace(/^\/var\/run(?=\/|$)/, '/run').replace(/(?<=.)\/$/, '')
}
