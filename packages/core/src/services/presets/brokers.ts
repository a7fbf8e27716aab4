import type { Container } from '../../container/types.js'
import type { Self } from '../types.js'
import { kafkaState } from './kafka-state.js'
import { rabbitmqState } from './rabbitmq-state.js'
import { urlOf, type Preset, type Resettable, type SeenInside } from './types.js'

interface RabbitmqFacts {
  /** `amqp://user:password@host:port` */
  readonly url: string
  readonly user: string
  readonly password: string
}

export interface RabbitmqContainer extends Container, RabbitmqFacts, SeenInside<RabbitmqFacts>, Resettable {}

interface KafkaFacts {
  /** `host:port`, as clients' `bootstrap.servers` want it. */
  readonly bootstrap: string
}

/** `inside` is for services that need it: the broker tells its clients the name they know. */
export interface KafkaContainer extends Container, KafkaFacts, SeenInside<KafkaFacts>, Resettable {}

export const RABBITMQ: Preset = {
  image: 'rabbitmq:4',
  ports: [5672],
  // Its files belong to a node's name, which is the container's by default: a copy would begin with none of them.
  env: { RABBITMQ_NODENAME: 'rabbit@localhost' },
  ready: () => ({ port: 5672, log: { line: /Server startup complete/, times: 1 } }),
  clear: ['var/lib/rabbitmq/mnesia/*.pid'],
  state: rabbitmqState,
  facts: (self, env) => {
    const user = env['RABBITMQ_DEFAULT_USER'] ?? 'guest'
    const password = env['RABBITMQ_DEFAULT_PASS'] ?? 'guest'
    const host = env['RABBITMQ_DEFAULT_VHOST']
    const path = host === undefined || host === '/' ? {} : { path: host }
    return { url: urlOf('amqp', self, 5672, { user, password, ...path }), user, password }
  },
}

/** One broker without ZooKeeper (KRaft), which tells its clients the address they reach it at. */
export const KAFKA: Preset = {
  image: 'apache/kafka:3.9.1',
  aliases: ['kafka-native'],
  ports: [9092],
  env: kafkaEnvironment,
  ready: () => ({ port: 9092, log: { line: /Kafka Server started/, times: 1 } }),
  facts: self => ({ bootstrap: `${self.host}:${String(self.port(9092))}` }),
  inside: ({ host }) => ({ bootstrap: `${host}:19092` }),
  state: kafkaState,
}

/** [apache/kafka's image: KAFKA_ and a property's name in capitals, dots as underscores.] */
function kafkaEnvironment(self: Self): Readonly<Record<string, string>> {
  return {
    KAFKA_NODE_ID: '1',
    KAFKA_PROCESS_ROLES: 'broker,controller',
    KAFKA_LISTENERS: 'PLAINTEXT://:9092,CONTROLLER://:9093,INSIDE://:19092',
    KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://${self.host}:${String(self.port(9092))},INSIDE://${self.inside?.host ?? 'localhost'}:19092`,
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT',
    KAFKA_INTER_BROKER_LISTENER_NAME: 'INSIDE',
    KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
    KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
    KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
  }
}
