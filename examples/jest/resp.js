const { connect } = require('node:net')
const { once } = require('node:events')

/** Just enough of Redis's protocol for the example: one command at a time, replies without arrays. */
class Redis {
  #socket
  #buffer = ''
  #waiting = []

  static async connect(host, port) {
    const redis = new Redis()
    redis.#socket = connect(port, host)
    redis.#socket.setEncoding('utf8').on('data', text => redis.#receive(text))
    await once(redis.#socket, 'connect')
    return redis
  }

  send(...words) {
    const command = words.map(word => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')
    this.#socket.write(`*${words.length}\r\n${command}`)
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  close() {
    this.#socket.destroy()
  }

  #receive(text) {
    this.#buffer += text
    for (let reply; (reply = /^(?:([+:-])(.*)\r\n|\$(-1)\r\n|\$\d+\r\n([^]*?)\r\n)/.exec(this.#buffer)); ) {
      this.#buffer = this.#buffer.slice(reply[0].length)
      const { resolve, reject } = this.#waiting.shift()
      const [, kind, line, none, bulk] = reply
      if (kind === '-') reject(new Error(line))
      else if (kind === ':') resolve(Number(line))
      else resolve(none === undefined ? (line ?? bulk) : null)
    }
  }
}

module.exports = { Redis }
