// The least client of the wire (docs/protocol.md), for processes that are killed and killed again.
const REQUEST = 1, REPLY = 2, ERROR = 3, DATA = 5, END = 6
export const METHOD = { hello: 1, create: 2, start: 3, exec: 4, signal: 5, wait: 6, remove: 7, portOpen: 11, portTarget: 12 }

const number = (bytes) => (value) => {
  const out = Buffer.alloc(bytes)
  out.writeUIntLE(value, 0, bytes)
  return out
}
export const [u8, u16, u32] = [1, 2, 4].map(number)
export const bytes = (data) => Buffer.concat([u32(Buffer.byteLength(data)), Buffer.from(data)])
/** A record of an operation list. */
export const operation = (op, ...fields) => {
  const payload = Buffer.concat(fields)
  return Buffer.concat([u16(op), u16(0), u32(payload.length), payload])
}

export class Client {
  #socket
  #rest = Buffer.alloc(0)
  #waiting = new Map()
  #ends = new Map()
  #last = 0
  lost = false

  constructor(socket) {
    this.#socket = socket
    socket.on('data', (chunk) => this.#receive(chunk))
    socket.on('error', () => this.#lose())
    socket.on('close', () => this.#lose())
    socket.on('end', () => this.#lose())
  }

  /** Resolves with the reply's payload. */
  request(method, ...fields) {
    return this.#send(method, fields, this.#waiting)
  }

  /** Resolves when the request's stream is over. */
  stream(method, ...fields) {
    return this.#send(method, fields, this.#ends)
  }

  close() {
    this.#socket.destroy()
  }

  #send(method, fields, waiting) {
    const id = ++this.#last
    const payload = Buffer.concat([u16(method), ...fields])
    return new Promise((resolve, reject) => {
      if (this.lost) return reject(new Error('lost'))
      waiting.set(id, { resolve, reject })
      this.#socket.write(Buffer.concat([u32(payload.length), u8(REQUEST), u32(id), payload]))
    })
  }

  #receive(chunk) {
    this.#rest = Buffer.concat([this.#rest, chunk])
    while (this.#rest.length >= 9) {
      const length = this.#rest.readUInt32LE(0)
      if (this.#rest.length < 9 + length) return
      const kind = this.#rest[4]
      const id = this.#rest.readUInt32LE(5)
      const payload = this.#rest.subarray(9, 9 + length)
      this.#rest = this.#rest.subarray(9 + length)
      if (kind === REPLY) this.#take(this.#waiting, id)?.resolve(payload)
      if (kind === END) this.#take(this.#ends, id)?.resolve(payload)
      if (kind === ERROR) (this.#take(this.#waiting, id) ?? this.#take(this.#ends, id))?.reject(failure(payload))
      if (kind === DATA) continue
    }
  }

  #take(map, id) {
    const one = map.get(id)
    map.delete(id)
    return one
  }

  #lose() {
    this.lost = true
    for (const map of [this.#waiting, this.#ends]) {
      for (const { reject } of map.values()) reject(new Error('lost'))
      map.clear()
    }
  }
}

function failure(payload) {
  const text = []
  let at = 8
  while (at < payload.length) {
    const length = payload.readUInt32LE(at)
    text.push(payload.toString('utf8', at + 4, at + 4 + length))
    at += 4 + length
  }
  return new Error(`${text.join(' ')} (errno ${payload.readUInt32LE(0)})`)
}
