import type { HttpContainer } from './web.js'
import { keycloakState } from './keycloak-state.js'
import type { S3Access } from './s3-client.js'
import { s3State } from './s3-state.js'
import { searchState } from './search-state.js'
import { ask } from './tools.js'
import { urlOf, type Environment, type Preset, type Resettable } from './types.js'

/** Elasticsearch and OpenSearch. */
export interface SearchContainer extends HttpContainer, Resettable {}

/** Object storage with Amazon's interface. */
export interface S3Container extends HttpContainer, Resettable {
  readonly accessKey: string
  readonly secretKey: string
  readonly region: string
}

export interface MailpitContainer extends HttpContainer, Resettable {
  /** `smtp://host:port`; `url` is the mailbox's web page and interface. */
  readonly smtp: string
}

export interface KeycloakContainer extends HttpContainer, Resettable {
  readonly adminUser: string
  readonly adminPassword: string
}

export const ELASTICSEARCH: Preset = {
  image: 'docker.elastic.co/elasticsearch/elasticsearch:8.19.0',
  ports: [9200],
  env: { 'discovery.type': 'single-node', 'xpack.security.enabled': 'false', 'ES_JAVA_OPTS': '-Xms512m -Xmx512m' },
  ready: () => ({ port: 9200, http: '/_cluster/health?wait_for_status=yellow&timeout=1s' }),
  facts: self => ({ url: urlOf('http', self, 9200) }),
  state: searchState,
}

export const OPENSEARCH: Preset = {
  ...ELASTICSEARCH,
  image: 'opensearchproject/opensearch:2.19.1',
  env: { 'discovery.type': 'single-node', 'DISABLE_SECURITY_PLUGIN': 'true', 'DISABLE_INSTALL_DEMO_CONFIG': 'true', 'OPENSEARCH_JAVA_OPTS': '-Xms512m -Xmx512m' },
}

const minioAccess = (env: Environment): S3Access => ({
  accessKey: env['MINIO_ROOT_USER'] ?? 'minioadmin',
  secretKey: env['MINIO_ROOT_PASSWORD'] ?? 'minioadmin',
  region: env['MINIO_REGION'] ?? 'us-east-1',
})

export const MINIO: Preset = {
  image: 'minio/minio:latest',
  ports: [9000, 9001],
  env: { MINIO_ROOT_USER: 'mayfly', MINIO_ROOT_PASSWORD: 'mayfly-secret' },
  command: ['server', '/data', '--console-address', ':9001'],
  ready: () => ({ port: 9000, http: '/minio/health/live' }),
  state: s3State(9000, minioAccess),
  facts: (self, env) => ({ url: urlOf('http', self, 9000), ...minioAccess(env) }),
}

export const LOCALSTACK: Preset = {
  image: 'localstack/localstack:4',
  ports: [4566],
  env: {},
  ready: () => ({ port: 4566, http: '/_localstack/health' }),
  // Without what was prepared: keeping states is not for everybody there. [its internal endpoint /_localstack/state/reset]
  state: { beginsEmpty: true, restore: async ({ container }) => void await ask(container.urlOf(4566), '/_localstack/state/reset', 'POST') },
  facts: (self, env) => ({ url: urlOf('http', self, 4566), accessKey: 'test', secretKey: 'test', region: env['AWS_DEFAULT_REGION'] ?? 'us-east-1' }),
}

export const MAILPIT: Preset = {
  image: 'axllent/mailpit:latest',
  ports: [8025, 1025],
  env: {},
  ready: () => ({ port: 8025, http: '/readyz' }),
  // [its API: DELETE /api/v1/messages without ids takes all]
  state: { beginsEmpty: true, restore: async ({ container }) => void await ask(container.urlOf(8025), '/api/v1/messages', 'DELETE') },
  facts: self => ({ url: urlOf('http', self, 8025), smtp: urlOf('smtp', self, 1025) }),
}

export const KEYCLOAK: Preset = {
  image: 'quay.io/keycloak/keycloak:26.3',
  ports: [8080, 9000],
  env: { KC_BOOTSTRAP_ADMIN_USERNAME: 'admin', KC_BOOTSTRAP_ADMIN_PASSWORD: 'admin', KC_HEALTH_ENABLED: 'true' },
  command: ['start-dev'],
  // Its health stands on the management port.
  ready: () => ({ port: 9000, http: '/health/ready' }),
  state: keycloakState,
  facts: (self, env) => ({
    url: urlOf('http', self, 8080),
    adminUser: env['KC_BOOTSTRAP_ADMIN_USERNAME'] ?? '',
    adminPassword: env['KC_BOOTSTRAP_ADMIN_PASSWORD'] ?? '',
  }),
}
