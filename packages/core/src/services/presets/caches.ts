import type { Container } from '../../container/types.js'
import { redisDatabases, redisState } from './redis-state.js'
import { urlOf, type Preset, type Resettable, type SeenInside } from './types.js'

interface RedisFacts {
  /** `redis://host:port`, with `/number` for another database than the first. */
  readonly url: string
}

export interface RedisContainer extends Container, RedisFacts, Resettable, SeenInside<RedisFacts> {}

export const REDIS: Preset = {
  image: 'redis:7',
  ports: [6379],
  env: {},
  ready: () => ({ port: 6379 }),
  facts: (self, { MAYFLY_DATABASE: path }) => ({ url: urlOf('redis', self, 6379, path === undefined ? {} : { path }) }),
  state: redisState('redis-cli'),
  databases: redisDatabases('redis-cli'),
}

/** The fork speaks the same protocol, and its clients take the same address. */
export const VALKEY: Preset = { ...REDIS, image: 'valkey/valkey:8', state: redisState('valkey-cli'), databases: redisDatabases('valkey-cli') }
