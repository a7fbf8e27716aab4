import type { Container } from '../../container/types.js'
import type { AnyOptions, Needs, Service, ServiceOptions } from '../types.js'
import { KAFKA, RABBITMQ, type KafkaContainer, type RabbitmqContainer } from './brokers.js'
import { REDIS, VALKEY, type RedisContainer } from './caches.js'
import { MARIADB, MONGODB, MYSQL, POSTGRES, type MongodbContainer, type MysqlContainer, type PostgresContainer } from './databases.js'
import { ELASTICSEARCH, KEYCLOAK, LOCALSTACK, MAILPIT, MINIO, OPENSEARCH, type KeycloakContainer, type MailpitContainer, type S3Container, type SearchContainer } from './others.js'
import type { Preset } from './types.js'
import { HTTPD, NGINX, type HttpContainer } from './web.js'

/** The handle of each preset. */
export interface Presets {
  httpd: HttpContainer
  nginx: HttpContainer
  postgres: PostgresContainer
  mariadb: MysqlContainer
  mysql: MysqlContainer
  mongodb: MongodbContainer
  redis: RedisContainer
  valkey: RedisContainer
  rabbitmq: RabbitmqContainer
  kafka: KafkaContainer
  elasticsearch: SearchContainer
  opensearch: SearchContainer
  minio: S3Container
  localstack: S3Container
  mailpit: MailpitContainer
  keycloak: KeycloakContainer
}

/** Images' base names that differ from their preset's. */
export interface PresetAliases {
  'mongo': 'mongodb'
  'mongodb-community-server': 'mongodb'
  'kafka-native': 'kafka'
}

export type PresetName = keyof Presets

export const PRESETS: Readonly<Record<PresetName, Preset>> = {
  httpd: HTTPD,
  nginx: NGINX,
  postgres: POSTGRES,
  mariadb: MARIADB,
  mysql: MYSQL,
  mongodb: MONGODB,
  redis: REDIS,
  valkey: VALKEY,
  rabbitmq: RABBITMQ,
  kafka: KAFKA,
  elasticsearch: ELASTICSEARCH,
  opensearch: OPENSEARCH,
  minio: MINIO,
  localstack: LOCALSTACK,
  mailpit: MAILPIT,
  keycloak: KEYCLOAK,
}

/** Apache's httpd. Default image `httpd`. */
export const httpd = preset('httpd')
/** nginx. Default image `nginx`. */
export const nginx = preset('nginx')
/** PostgreSQL. Default image `postgres:17`, user `postgres`, password `mayfly`, database `postgres`. */
export const postgres = preset('postgres')
/** MariaDB. Default image `mariadb:11`, user `root`, password and database `mayfly`. */
export const mariadb = preset('mariadb')
/** MySQL. Default image `mysql:8.4`, user `root`, password and database `mayfly`. */
export const mysql = preset('mysql')
/** MongoDB. Default image `mongo:7`, without authentication. */
export const mongodb = preset('mongodb')
/** Redis. Default image `redis:7`. */
export const redis = preset('redis')
/** Valkey. Default image `valkey/valkey:8`. */
export const valkey = preset('valkey')
/** RabbitMQ. Default image `rabbitmq:4`, user and password `guest`. */
export const rabbitmq = preset('rabbitmq')
/** Kafka in KRaft mode, one broker. Default image `apache/kafka:3.9.1`. */
export const kafka = preset('kafka')
/** Elasticsearch, one node without security. Default image `elasticsearch:8.19.0` of Elastic's registry. */
export const elasticsearch = preset('elasticsearch')
/** OpenSearch, one node without security. Default image `opensearchproject/opensearch:2.19.1`. */
export const opensearch = preset('opensearch')
/** MinIO. Default image `minio/minio:latest`, access key `mayfly`, secret key `mayfly-secret`. */
export const minio = preset('minio')
/** LocalStack, for S3 and the other services it offers at one address. Default image `localstack/localstack:4`. */
export const localstack = preset('localstack')
/** Mailpit, a mailbox that takes everything. Default image `axllent/mailpit:latest`. */
export const mailpit = preset('mailpit')
/** Keycloak in development mode. Default image `keycloak:26.3` of quay.io, administrator `admin`, password `admin`. */
export const keycloak = preset('keycloak')

/** A service from any image. A preset's image brings that preset's readiness and handle. */
export function image<const N extends Needs = Needs>(reference: string, options: ServiceOptions<Container, N> = {}): Service {
  return { image: reference, preset: presetOf(reference), options: options as AnyOptions }
}

const BY_BASE: ReadonlyMap<string, PresetName> = new Map((Object.keys(PRESETS) as PresetName[])
  .flatMap(name => [name, ...(PRESETS[name].aliases ?? [])].map(base => [base, name] as const)))

/** The preset an image's base name selects: `postgres` for `docker.io/library/postgres:17`. */
export function presetOf(reference: string): PresetName | undefined {
  return BY_BASE.get((reference.split('@')[0] ?? '').replace(/^.*\//, '').replace(/:.*$/, ''))
}

interface PresetService<C extends Container> {
  <const N extends Needs = Needs>(options?: ServiceOptions<C, N>): Service<C>
  <const N extends Needs = Needs>(reference: string, options?: ServiceOptions<C, N>): Service<C>
}

function preset<N extends PresetName>(name: N): PresetService<Presets[N]> {
  return (first: unknown = {}, second: unknown = {}) => ({
    image: typeof first === 'string' ? first : PRESETS[name].image,
    preset: name,
    options: (typeof first === 'string' ? second : first) as AnyOptions,
  })
}

export type { Databases, Environment, Facts, Preset, Server, StateKeeping } from './types.js'
export type { HttpContainer, KafkaContainer, KeycloakContainer, MailpitContainer, MongodbContainer, MysqlContainer, PostgresContainer, RabbitmqContainer, RedisContainer, S3Container, SearchContainer }
