import type { Container } from '../../container/types.js'
import { urlOf, type Preset } from './types.js'

export interface RedisContainer extends Container {
  /** `redis://host:port` */
  readonly url: string
}

export const REDIS: Preset = {
  image: 'redis:7',
  ports: [6379],
  env: {},
  ready: () => ({ port: 6379 }),
  facts: self => ({ url: urlOf('redis', self, 6379) }),
}

/** The fork speaks the same protocol, and its clients take the same address. */
export const VALKEY: Preset = { ...REDIS, image: 'valkey/valkey:8' }
