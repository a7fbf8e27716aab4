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
