export { build } from './build/index.js'
export type { BuildEvent, BuildOptions, BuildStep, BuiltImage } from './build/types.js'
export { create, events, network, openSnapshot, reach, run, volume, warmUp } from './container/run.js'
export { wait } from './container/wait.js'
export type * from './container/types.js'
export type { LayerProgress, PullProgress } from './images/progress.js'
export { isMayflyError, MayflyError, type ErrorCode } from './errors.js'
export { defineConfig } from './services/config.js'
export {
  elasticsearch,
  httpd,
  image,
  kafka,
  keycloak,
  localstack,
  mailpit,
  mariadb,
  minio,
  mongodb,
  mysql,
  nginx,
  opensearch,
  postgres,
  rabbitmq,
  redis,
  valkey,
} from './services/presets/index.js'
export type {
  Config,
  Handle,
  HttpContainer,
  KafkaContainer,
  KeycloakContainer,
  MailpitContainer,
  MongodbContainer,
  MysqlContainer,
  ImageRef,
  Name,
  PostgresContainer,
  Presets,
  RabbitmqContainer,
  RedisContainer,
  S3Container,
  SearchContainer,
  Register,
  Scope,
  Self,
  Service,
  ServiceOptions,
  Services,
} from './services/index.js'
