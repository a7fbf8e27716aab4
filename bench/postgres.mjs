import { connect } from 'node:net'

/** 30 tables, 10,000 rows. */
export const MIGRATION = Array.from({ length: 30 }, (_, nth) => `
CREATE TABLE t${nth} (id serial PRIMARY KEY, name text NOT NULL, at timestamptz DEFAULT now());
INSERT INTO t${nth} (name) SELECT 'row ' || n FROM generate_series(1, ${nth < 10 ? 334 : 333}) n;
CREATE INDEX ON t${nth} (name);`).join('')

/**
 * The first answer to a query, asked again at once while the server is not there; over the protocol itself, so that no
 * driver's own start counts.
 */
export function firstQuery(host, port, deadline = performance.now() + 30_000, { sql = 'SELECT count(*) FROM t29', database = 'postgres' } = {}) {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0)
    let asked = false
    const socket = connect({ host, port, noDelay: true })
    const again = () => {
      socket.destroy()
      if (performance.now() > deadline) reject(new Error(`no answer from ${host}:${port} in time`))
      else setTimeout(() => { firstQuery(host, port, deadline, { sql, database }).then(resolve, reject) }, 1)
    }
    socket.once('connect', () => {
      const parameters = Buffer.from(`user\0postgres\0database\0${database}\0\0`)
      const head = Buffer.alloc(8)
      head.writeInt32BE(8 + parameters.length, 0)
      head.writeInt32BE(196_608, 4)
      socket.write(Buffer.concat([head, parameters]))
    })
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      for (;;) {
        if (bytes.length < 5) return
        const type = String.fromCharCode(bytes[0])
        const length = bytes.readInt32BE(1)
        if (bytes.length < length + 1) return
        bytes = bytes.subarray(length + 1)
        if (type === 'E') return again()
        if (type === 'Z' && !asked) {
          asked = true
          const query = Buffer.from(`${sql}\0`)
          const head = Buffer.alloc(5)
          head.write('Q')
          head.writeInt32BE(4 + query.length, 1)
          socket.write(Buffer.concat([head, query]))
        }
        // A row, or the end of a command that has none.
        if (type === 'D' || type === 'C') {
          socket.destroy()
          return resolve()
        }
      }
    })
    socket.once('error', again)
    // A server that is just starting may close without a word.
    socket.once('end', () => { if (!socket.destroyed) again() })
  })
}
