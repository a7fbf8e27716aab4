import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { crc32c } from '../../src/services/presets/kafka-records.js'
import { Reader, Writer } from '../../src/services/presets/kafka-wire.js'
import type { Server } from '../../src/services/presets/types.js'
import { standingIn, stateOf } from './stand-in.js'

/** One partition's log: batches with their place in it. */
type Log = { first: bigint; batches: Buffer[] }
interface Topic { settings: Record<string, string>; logs: Log[] }

/** A broker that speaks what the protocol's documentation says of the versions asked for; and the files beside it. */
class StandIn {
  readonly topics = new Map<string, Topic>()
  readonly groups = new Map<string, 'Empty' | 'Stable'>()
  readonly asked: string[] = []

  async open(): Promise<Server> {
    const listener = createServer({ noDelay: true }, socket => {
      let bytes = Buffer.alloc(0)
      socket.on('data', (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk])
        while (bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE()) {
          const request = new Reader(bytes.subarray(4, 4 + bytes.readInt32BE()))
          bytes = bytes.subarray(4 + bytes.readInt32BE())
          const [key, version, correlation] = [request.int16(), request.int16(), request.int32()]
          expect(request.text()).toBe('mayfly')
          const body = this.#answer(`${String(key)}v${String(version)}`, request)
          // In two pieces, as a network may deliver it.
          const answer = Buffer.concat([new Writer().int32(body.length + 4).int32(correlation).done(), body])
          socket.write(answer.subarray(0, 6))
          setImmediate(() => socket.write(answer.subarray(6)))
        }
      })
    })
    return await standingIn(listener)
  }

  create(name: string, partitions: number, settings: Record<string, string> = {}): void {
    this.topics.set(name, { settings, logs: Array.from({ length: partitions }, () => ({ first: 0n, batches: [] })) })
  }

  append(name: string, partition: number, batch: Buffer): void {
    const log = this.topics.get(name)?.logs[partition] ?? expect.fail(`${name} has no partition ${String(partition)}`)
    const copy = Buffer.from(batch)
    copy.writeBigInt64BE(endOf(log), 0)
    log.batches.push(copy)
  }

  /** Values of all readable records per partition, by kcat's look at it. */
  values(name: string): string[][] {
    return (this.topics.get(name)?.logs ?? []).map(({ batches }) => batches.filter(batch => (batch.readInt16BE(21) & 0x20) === 0).map(valueOf))
  }

  #answer(request: string, body: Reader): Buffer {
    const to = new Writer()
    switch (request) {
      case '3v1': {
        expect(body.int32()).toBe(-1)
        to.array([1], (id, one) => one.int32(id).text('127.0.0.1').int32(9092).text(null)).int32(1)
        const all = [...this.topics].map(([name, { logs }]) => ({ name, count: logs.length, internal: 0 }))
        return to.array([...all, { name: '__consumer_offsets', count: 50, internal: 1 }], ({ name, count, internal }, one) =>
          one.int16(0).text(name).int8(internal).array(Array.from({ length: count }, (_, nth) => nth), (nth, part) => part.int16(0).int32(nth).int32(1).array([1], id => to.int32(id)).array([1], id => to.int32(id)))).done()
      }
      case '32v1': {
        const names = body.array(one => { expect(one.int8()).toBe(2); const name = one.text(); expect(one.int32()).toBe(-1); return name })
        return to.int32(0).array(names, (name, one) => one.int16(0).text(null).int8(2).text(name).array([...Object.entries(this.topics.get(name)?.settings ?? {}).map(([key, value]) => [key, value, 1] as const), ['segment.bytes', '1073741824', 5] as const], ([key, value, source], setting) =>
          setting.text(key).text(value).int8(0).int8(source).int8(0).array([key], (synonym, inner) => inner.text(synonym).text(value).int8(source)))).done()
      }
      case '2v1': {
        expect(body.int32()).toBe(-1)
        const wanted = body.array(topic => [topic.text(), topic.array(part => { const nth = part.int32(); expect(part.int64()).toBe(-2n); return nth })] as const)
        return to.array(wanted, ([name, parts], one) => one.text(name).array(parts, (nth, part) => part.int32(nth).int16(0).int64(-1n).int64(this.topics.get(name)?.logs[nth]?.first ?? 0n))).done()
      }
      case '1v4': {
        expect([body.int32(), body.int32(), body.int32()]).toEqual([-1, 0, 0])
        body.int32()
        expect(body.int8()).toBe(1)
        const wanted = body.array(topic => [topic.text(), topic.array(part => { const at = [part.int32(), part.int64()] as const; part.int32(); return at })] as const)
        return to.int32(0).array(wanted, ([name, parts], one) => one.text(name).array(parts, ([nth, at], part) => {
          const { batches } = this.topics.get(name)?.logs[nth] ?? expect.fail()
          const found = batches.filter(batch => lastOf(batch) >= at)
          const aborted = found.filter(batch => (batch.readInt16BE(21) & 0x10) !== 0 && valueOf(batch) === 'aborted').map(batch => ({ producer: batch.readBigInt64BE(43), first: batch.readBigInt64BE(0) }))
          // The last batch is cut off by the limit of bytes, but for the first.
          const [first = Buffer.alloc(0), ...rest] = found
          const bytes = rest.length === 0 ? first : Buffer.concat([first, ...rest.slice(0, -1), rest.at(-1)?.subarray(0, 40) ?? first])
          part.int32(nth).int16(0).int64(99n).int64(99n).array(aborted, (transaction, inner) => inner.int64(transaction.producer).int64(transaction.first)).bytes(bytes)
        })).done()
      }
      case '20v1': {
        const names = body.array(one => one.text())
        this.asked.push(`delete ${names.join(' ')}`)
        for (const name of names) this.topics.delete(name)
        return to.int32(0).array(names, (name, one) => one.text(name).int16(0)).done()
      }
      case '19v2': {
        const made = body.array(topic => {
          const [name, partitions, replicas, assigned] = [topic.text(), topic.int32(), topic.int16(), topic.int32()]
          expect([replicas, assigned]).toEqual([1, 0])
          return { name, partitions, settings: Object.fromEntries(topic.array(setting => [setting.text(), setting.text()] as const)) }
        })
        this.asked.push(`create ${made.map(({ name }) => name).join(' ')}`)
        for (const { name, partitions, settings } of made) this.create(name, partitions, settings)
        this.#leaderless = 2
        return to.int32(0).array(made, ({ name }, one) => one.text(name).int16(0).text(null)).done()
      }
      case '0v3': {
        expect([body.text(), body.int16()]).toEqual(['', -1])
        body.int32()
        const sent = body.array(topic => [topic.text(), topic.array(part => [part.int32(), part.bytes()] as const)] as const)
        const error = (this.#leaderless -= 1) >= 0 ? 5 : 0
        for (const [name, parts] of sent) {
          for (const [nth, batch] of parts) {
            expect([batch.readInt32BE(8) + 12, batch.readUInt32BE(17)]).toEqual([batch.length, crc32c(batch.subarray(21))])
            expect([batch.readInt16BE(21) & 0x38, batch.readBigInt64BE(43)]).toEqual([0, -1n])
            if (error === 0) this.append(name, nth, batch)
          }
        }
        return to.array(sent, ([name, parts], one) => one.text(name).array(parts, ([nth], part) => part.int32(nth).int16(error).int64(0n).int64(-1n))).int32(0).done()
      }
      case '16v0': return to.int16(0).array([...this.groups.keys()], (name, one) => one.text(name).text('consumer')).done()
      case '42v0': {
        const names = body.array(one => one.text())
        const outcomes = names.map(name => [name, this.groups.get(name) === 'Stable' ? 68 : 0] as const)
        for (const [name, error] of outcomes) if (error === 0) this.groups.delete(name)
        return to.int32(0).array(outcomes, ([name, error], one) => one.text(name).int16(error)).done()
      }
      default: return expect.fail(`asked for ${request}`)
    }
  }

  #leaderless = 0
}

const endOf = ({ first, batches }: Log): bigint => batches.length === 0 ? first : lastOf(batches[batches.length - 1] ?? expect.fail()) + 1n
const lastOf = (batch: Buffer): bigint => batch.readBigInt64BE(0) + BigInt(batch.readInt32BE(23))
const valueOf = (batch: Buffer): string => batch.subarray(61).toString()

/** A batch whose only record is its text, of somebody's transaction or nobody's. */
function batchOf(text: string, { producer = -1n, attributes = 0 } = {}): Buffer {
  const batch = Buffer.concat([Buffer.alloc(61), Buffer.from(text)])
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt8(2, 16)
  batch.writeInt16BE(attributes, 21)
  batch.writeBigInt64BE(1_700_000_000_000n, 27)
  batch.writeBigInt64BE(producer, 43)
  batch.writeInt32BE(1, 57)
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

const state = stateOf('kafka')

test('Kafka: topics with their settings and records are as prepared, groups made since are gone', async () => {
  const kafka = new StandIn()
  const server = await kafka.open()
  kafka.create('orders', 2, { 'cleanup.policy': 'compact' })
  kafka.create('still', 1)
  kafka.append('still', 0, batchOf('stays'))
  for (const text of ['one', 'two', 'three']) kafka.append('orders', 0, batchOf(text))
  kafka.append('orders', 1, batchOf('committed', { producer: 7n, attributes: 0x10 }))
  kafka.append('orders', 1, batchOf('', { producer: 7n, attributes: 0x30 }))
  kafka.append('orders', 1, batchOf('aborted', { producer: 8n, attributes: 0x10 }))
  kafka.append('orders', 1, batchOf('', { producer: 8n, attributes: 0x30 }))
  kafka.append('orders', 1, batchOf('later', { producer: 8n, attributes: 0x10 }))
  kafka.append('orders', 1, batchOf('', { producer: 8n, attributes: 0x30 }))
  kafka.groups.set('prepared', 'Empty')
  await state.keep?.(server)

  kafka.append('orders', 0, batchOf('four'))
  kafka.create('new', 1)
  for (const [name, how] of [['gone', 'Empty'], ['living', 'Stable']] as const) kafka.groups.set(name, how)
  await state.restore(server)
  expect(kafka.asked).toEqual(['delete orders new', 'create orders'])
  expect([...kafka.topics.keys()].sort()).toEqual(['orders', 'still'])
  expect(kafka.topics.get('orders')?.settings).toEqual({ 'cleanup.policy': 'compact' })
  expect(kafka.values('orders')).toEqual([['one', 'two', 'three'], ['committed', 'later']])
  expect([...kafka.groups.keys()].sort()).toEqual(['living', 'prepared'])

  // As it is, it stays; what was deleted comes back.
  await state.restore(server)
  expect(kafka.asked).toHaveLength(2)
  kafka.topics.delete('still')
  await state.restore(server)
  expect(kafka.values('still')).toEqual([['stays']])
})

test('Kafka that was not prepared is emptied', async () => {
  const kafka = new StandIn()
  const server = await kafka.open()
  kafka.create('new', 3)
  expect(state.beginsEmpty).toBe(true)
  await state.restore(server)
  expect([kafka.topics.size, kafka.asked]).toEqual([0, ['delete new']])
})

test('a broker that is gone is an error with its words', async () => {
  const server = { container: { urlOf: () => 'http://127.0.0.1:1', exec: () => Promise.resolve({ exitCode: 0, stdout: '', stderr: '' }) }, env: {} } as unknown as Server
  await expect(state.restore(server)).rejects.toMatchObject({ code: 'ERR_MAYFLY_RESET_FAILED', message: expect.stringContaining('Kafka does not answer') as string })
})

test('checksums are Castagnoli\'s', () => {
  expect(crc32c(Buffer.from('123456789')).toString(16)).toBe('e3069283')
})
