export { run } from './container/run.js'
export { wait } from './container/wait.js'
export type * from './container/types.js'
export { isMayflyError, MayflyError, type ErrorCode } from './errors.js'
export { defineConfig } from './services/config.js'
export { httpd, image, postgres, redis } from './services/presets.js'
export type {
  Config,
  Handle,
  HttpContainer,
  ImageRef,
  Name,
  PostgresContainer,
  Presets,
  RedisContainer,
  Register,
  Scope,
  Self,
  Service,
  ServiceOptions,
  Services,
} from './services/index.js'
