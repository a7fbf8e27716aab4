// What is built. A family shares one Debian base, and is built, cached and rebuilt as a whole.
// Tags are honest: a version stands here only when Debian ships that version.

const debianPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * @typedef {{ comment: string, script?: string, files?: string }} LayerRecipe  script runs in the image's
 *   root; then files (a directory beside this one) are laid over it
 * @typedef {{ tags: string[], from: 'base' | 'scratch', layers: LayerRecipe[], config: Record<string, unknown> }} ImageRecipe
 * @typedef {{ suite: string, images: Record<string, ImageRecipe> }} FamilyRecipe
 */

/** @type {Record<string, FamilyRecipe>} */
export const families = {
  bookworm: {
    suite: 'bookworm',
    images: {
      debian: {
        tags: ['latest', '12', '12-slim', 'bookworm', 'bookworm-slim'],
        from: 'base',
        layers: [],
        config: { Env: [`PATH=${debianPath}`], Cmd: ['bash'] },
      },
      httpd: {
        tags: ['latest', '2', '2.4', '2.4-bookworm', 'bookworm'],
        from: 'base',
        layers: [
          { comment: 'apache2-bin', script: 'httpd/server.sh' },
          { comment: 'the official layout', files: 'httpd/rootfs' },
        ],
        config: {
          Env: [
            `PATH=/usr/local/apache2/bin:${debianPath}`,
            'HTTPD_PREFIX=/usr/local/apache2',
          ],
          Cmd: ['httpd-foreground'],
          WorkingDir: '/usr/local/apache2',
          ExposedPorts: { '80/tcp': {} },
          StopSignal: 'SIGWINCH',
        },
      },
      redis: {
        tags: ['latest', '7', '7.0', '7-bookworm', '7.0-bookworm', 'bookworm'],
        from: 'base',
        layers: [
          { comment: 'redis-server', script: 'redis/server.sh' },
          { comment: 'the entrypoint', files: 'redis/rootfs' },
        ],
        config: {
          Env: [`PATH=${debianPath}`],
          Entrypoint: ['docker-entrypoint.sh'],
          Cmd: ['redis-server'],
          WorkingDir: '/data',
          ExposedPorts: { '6379/tcp': {} },
          Volumes: { '/data': {} },
        },
      },
    },
  },
  servers: {
    suite: 'bookworm',
    images: {
      nginx: {
        tags: ['latest', '1', '1.22', '1.22-bookworm', 'bookworm'],
        from: 'base',
        layers: [
          { comment: 'nginx-light', script: 'nginx/server.sh' },
          { comment: 'the official layout', files: 'nginx/rootfs' },
        ],
        config: {
          Env: [`PATH=${debianPath}`, 'NGINX_VERSION=1.22.1'],
          Entrypoint: ['/docker-entrypoint.sh'],
          Cmd: ['nginx', '-g', 'daemon off;'],
          ExposedPorts: { '80/tcp': {} },
          StopSignal: 'SIGQUIT',
        },
      },
      mariadb: {
        tags: ['latest', '10', '10.11', '10.11-bookworm', 'bookworm'],
        from: 'base',
        layers: [
          { comment: 'mariadb-server', script: 'mariadb/server.sh' },
          { comment: 'the entrypoint', files: 'mariadb/rootfs' },
        ],
        config: {
          Env: [`PATH=${debianPath}`, 'LANG=C.UTF-8'],
          Entrypoint: ['docker-entrypoint.sh'],
          Cmd: ['mariadbd'],
          ExposedPorts: { '3306/tcp': {} },
          Volumes: { '/var/lib/mysql': {} },
        },
      },
      rabbitmq: {
        tags: ['latest', '3', '3.10', '3.10-bookworm', 'bookworm'],
        from: 'base',
        layers: [
          { comment: 'rabbitmq-server', script: 'rabbitmq/server.sh' },
          { comment: 'the entrypoint', files: 'rabbitmq/rootfs' },
        ],
        config: {
          Env: [`PATH=/usr/lib/rabbitmq/bin:${debianPath}`, 'RABBITMQ_DATA_DIR=/var/lib/rabbitmq', 'RABBITMQ_LOGS=-', 'LANG=C.UTF-8', 'HOME=/var/lib/rabbitmq'],
          Entrypoint: ['docker-entrypoint.sh'],
          Cmd: ['rabbitmq-server'],
          ExposedPorts: { '4369/tcp': {}, '5671/tcp': {}, '5672/tcp': {}, '25672/tcp': {} },
          Volumes: { '/var/lib/rabbitmq': {} },
        },
      },
    },
  },
  trixie: {
    suite: 'trixie',
    images: {
      busybox: {
        tags: ['latest', '1', '1.37', 'stable'],
        from: 'scratch',
        layers: [{ comment: 'busybox-static', script: 'busybox/root.sh' }],
        config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], Cmd: ['sh'] },
      },
      postgres: {
        tags: ['latest', '17', '17-trixie', 'trixie'],
        from: 'base',
        layers: [
          { comment: 'postgresql-17', script: 'postgres/server.sh' },
          { comment: 'the entrypoint', files: 'postgres/rootfs' },
        ],
        config: {
          Env: [
            `PATH=${debianPath}:/usr/lib/postgresql/17/bin`,
            'LANG=en_US.utf8',
            'PG_MAJOR=17',
            'PGDATA=/var/lib/postgresql/data',
          ],
          Entrypoint: ['docker-entrypoint.sh'],
          Cmd: ['postgres'],
          ExposedPorts: { '5432/tcp': {} },
          Volumes: { '/var/lib/postgresql/data': {} },
          StopSignal: 'SIGINT',
        },
      },
    },
  },
}
