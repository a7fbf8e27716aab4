import { isDeepStrictEqual } from 'node:util'
import { readable } from './kafka-records.js'
import { openBroker, refused, Writer, type Broker, type Reader } from './kafka-wire.js'
import { inContainer } from './tools.js'
import type { Server, StateKeeping } from './types.js'

const PORT = 9092
const KEPT = '/var/lib/mayfly'

interface Topic {
  readonly partitions: number
  /** What was said of it alone. */
  readonly settings: Readonly<Record<string, string>>
  /** Batches of records per partition, in base64. */
  readonly records: readonly (readonly string[])[]
}

interface KafkaState {
  readonly topics: Readonly<Record<string, Topic>>
  readonly groups: readonly string[]
}

/**
 * Topics with their records, by Kafka's own protocol: the server's tools take a second each, and an image may have none.
 * Topics that are as they were stay; others are deleted and made anew, and their records sent again, with their keys,
 * headers and times. Groups made since go, unless somebody is in them.
 */
export const kafkaState: StateKeeping = {
  beginsEmpty: true,
  keep: async server => {
    const state = await withBroker(server, async broker => ({ topics: await topicsOf(broker), groups: await groupsOf(broker) }))
    await inContainer(server.container, `set -e; umask 077; mkdir -p ${KEPT}; cat > ${KEPT}/kafka.json`, { input: JSON.stringify(state) })
  },
  restore: async server => {
    const text = await inContainer(server.container, `[ ! -e ${KEPT}/kafka.json ] || cat ${KEPT}/kafka.json`)
    const kept = text === '' ? { topics: {}, groups: [] } : JSON.parse(text) as KafkaState
    await withBroker(server, async broker => {
      const now = await topicsOf(broker)
      const changed = (name: string): boolean => !isDeepStrictEqual(now[name], kept.topics[name])
      const gone = Object.keys(now).filter(changed)
      if (gone.length > 0) await deleteTopics(broker, gone)
      const made = Object.entries(kept.topics).filter(([name]) => changed(name))
      if (made.length > 0) await createTopics(broker, made)
      for (const [name, { records }] of made) {
        for (const [partition, batches] of records.entries()) {
          for (const batch of batches) await produce(broker, name, partition, Buffer.from(batch, 'base64'))
        }
      }
      const groups = (await groupsOf(broker)).filter(group => !kept.groups.includes(group))
      if (groups.length > 0) await deleteGroups(broker, groups)
    })
  },
}

async function withBroker<T>({ container }: Server, work: (broker: Broker) => Promise<T>): Promise<T> {
  const broker = await openBroker(container.urlOf(PORT))
  try {
    return await work(broker)
  } finally {
    broker.end()
  }
}

async function topicsOf(broker: Broker): Promise<Record<string, Topic>> {
  const answer = await broker.ask('metadata', new Writer().int32(-1).done())
  answer.array(broker => [broker.int32(), broker.text(), broker.int32(), broker.text()])
  answer.int32()
  const all = answer.array(topic => {
    const [error, name, internal] = [topic.int16(), topic.text(), topic.int8()]
    const partitions = topic.array(part => [part.int16(), part.int32(), part.int32(), part.array(id => id.int32()), part.array(id => id.int32())])
    return { error, name, internal, partitions: partitions.length }
  })
  const topics: Record<string, Topic> = {}
  for (const { error, name, internal, partitions } of all) {
    check('describe', name, error)
    if (internal !== 0) continue
    const numbers = Array.from({ length: partitions }, (_, nth) => nth)
    const records: string[][] = []
    for (const partition of numbers) records.push(await recordsOf(broker, name, partition))
    topics[name] = { partitions, settings: await settingsOf(broker, name), records }
  }
  return topics
}

async function settingsOf(broker: Broker, name: string): Promise<Record<string, string>> {
  const answer = await broker.ask('describeConfigs', new Writer().array([name], (topic, to) => to.int8(2).text(topic).int32(-1)).int8(0).done())
  answer.int32()
  const [settings = []] = answer.array(topic => {
    check('describe', name, topic.int16(), topic.text())
    topic.int8()
    topic.text()
    return topic.array(one => {
      const setting = [one.text(), one.text()] as const
      one.int8()
      const source = one.int8()
      one.int8()
      one.array(synonym => [synonym.text(), synonym.text(), synonym.int8()])
      return { setting, source }
    })
  })
  // 1: of this topic, and not of the broker or by default.
  return Object.fromEntries(settings.filter(({ source }) => source === 1).map(({ setting }) => setting))
}

async function recordsOf(broker: Broker, name: string, partition: number): Promise<string[]> {
  const records: string[] = []
  for (let at = await firstOf(broker, name, partition); ;) {
    // Nobody is waited for; only what is committed.
    const body = new Writer().int32(-1).int32(0).int32(0).int32(MOST).int8(1).array([name], (topic, to) =>
      to.text(topic).array([partition], (part, inner) => inner.int32(part).int64(at).int32(MOST)))
    const answer = await broker.ask('fetch', body.done())
    answer.int32()
    const [[part] = []] = answer.array(topic => {
      topic.text()
      return topic.array(one => {
        one.int32()
        check('read', name, one.int16())
        one.int64()
        one.int64()
        const aborted = one.array(transaction => ({ producer: transaction.int64(), first: transaction.int64() }))
        return readable(one.bytes(), aborted)
      })
    })
    if (part?.next === undefined) return records
    records.push(...part.batches.map(batch => batch.toString('base64')))
    at = part.next
  }
}

async function firstOf(broker: Broker, name: string, partition: number): Promise<bigint> {
  const body = new Writer().int32(-1).array([name], (topic, to) => to.text(topic).array([partition], (part, inner) => inner.int32(part).int64(-2n)))
  const answer = await broker.ask('listOffsets', body.done())
  const [[first] = []] = answer.array(topic => {
    topic.text()
    return topic.array(part => {
      part.int32()
      check('read', name, part.int16())
      part.int64()
      return part.int64()
    })
  })
  return first ?? 0n
}

async function deleteTopics(broker: Broker, names: readonly string[]): Promise<void> {
  const answer = await broker.ask('deleteTopics', new Writer().array(names, (name, to) => to.text(name)).int32(PATIENCE).done())
  answer.int32()
  // Gone already: somebody else was quicker.
  checkAll('delete', answer, [UNKNOWN_TOPIC])
}

async function createTopics(broker: Broker, topics: readonly (readonly [string, Topic])[]): Promise<void> {
  const body = new Writer().array(topics, ([name, { partitions, settings }], to) =>
    to.text(name).int32(partitions).int16(1).int32(0).array(Object.entries(settings), ([key, value], inner) => inner.text(key).text(value))).int32(PATIENCE).int8(0)
  const answer = await broker.ask('createTopics', body.done())
  answer.int32()
  answer.array(topic => [topic.text(), topic.int16(), topic.text()] as const).forEach(([name, error, why]) => check('create', name, error, why))
}

async function produce(broker: Broker, name: string, partition: number, batch: Buffer): Promise<void> {
  const body = new Writer().text(null).int16(-1).int32(PATIENCE).array([name], (topic, to) =>
    to.text(topic).array([partition], (part, inner) => inner.int32(part).bytes(batch))).done()
  for (const deadline = Date.now() + PATIENCE; ;) {
    const answer = await broker.ask('produce', body)
    const [[error = 0] = []] = answer.array(topic => {
      topic.text()
      return topic.array(part => {
        const outcome = [part.int32(), part.int16(), part.int64(), part.int64()] as const
        return outcome[1]
      })
    })
    // A new topic's partitions find their leader a moment after it was made.
    if (!LEADERLESS.includes(error) || Date.now() > deadline) return check('fill', name, error)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

async function groupsOf(broker: Broker): Promise<string[]> {
  const answer = await broker.ask('listGroups', Buffer.alloc(0))
  check('list', 'groups', answer.int16())
  return answer.array(group => [group.text(), group.text()] as const).map(([group]) => group)
}

async function deleteGroups(broker: Broker, groups: readonly string[]): Promise<void> {
  const answer = await broker.ask('deleteGroups', new Writer().array(groups, (group, to) => to.text(group)).done())
  answer.int32()
  // Clients that live on are left in theirs.
  checkAll('delete', answer, [NON_EMPTY_GROUP, UNKNOWN_GROUP])
}

/** What is answered by names and errors, some of which are none here. */
function checkAll(what: string, answer: Reader, harmless: readonly number[]): void {
  answer.array(one => [one.text(), one.int16()] as const).forEach(([name, error]) => { if (!harmless.includes(error)) check(what, name, error) })
}

function check(what: string, name: string, error: number, why = ''): void {
  if (error !== 0) throw refused(`refused to ${what} "${name}" (error ${String(error)})${why === '' ? '' : `: ${why}`}`)
}

const PATIENCE = 30_000
const MOST = 8 * 1024 * 1024
/** [Kafka protocol guide, Error Codes] */
const UNKNOWN_TOPIC = 3
const LEADERLESS: readonly number[] = [UNKNOWN_TOPIC, 5, 6]
const NON_EMPTY_GROUP = 68
const UNKNOWN_GROUP = 69
