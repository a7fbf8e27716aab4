// What is built, in this order. Tags are honest: a version stands here only when Debian ships that version.

/**
 * @typedef {object} ImageRecipe
 * @property {string} suite     of Debian, which its packages are from
 * @property {string} [directory]  with its Dockerfile; default its name
 * @property {string[]} tags    the first is what other images build on
 * @property {string[]} [packages]  downloaded with all they need, and given to the build as the context `packages`
 */

/** @type {Record<string, ImageRecipe & { name: string }>} */
export const images = Object.fromEntries([
  { name: 'debian', key: 'debian bookworm', suite: 'bookworm', tags: ['bookworm-slim', 'bookworm', '12', '12-slim', 'latest'] },
  { name: 'debian', key: 'debian trixie', suite: 'trixie', tags: ['trixie-slim', 'trixie', '13', '13-slim'] },
  { name: 'busybox', suite: 'trixie', packages: ['busybox-static'], tags: ['latest', '1', '1.37', 'stable'] },
  { name: 'httpd', suite: 'bookworm', packages: ['apache2-bin', 'media-types'], tags: ['latest', '2', '2.4', '2.4-bookworm', 'bookworm'] },
  { name: 'redis', suite: 'bookworm', packages: ['redis-server'], tags: ['latest', '7', '7.0', '7-bookworm', '7.0-bookworm', 'bookworm'] },
  { name: 'nginx', suite: 'bookworm', packages: ['nginx-light'], tags: ['latest', '1', '1.22', '1.22-bookworm', 'bookworm'] },
  { name: 'postgres', suite: 'trixie', packages: ['postgresql-17', 'locales'], tags: ['latest', '17', '17-trixie', 'trixie'] },
  { name: 'mariadb', suite: 'bookworm', packages: ['mariadb-server'], tags: ['latest', '10', '10.11', '10.11-bookworm', 'bookworm'] },
  { name: 'rabbitmq', suite: 'bookworm', packages: ['rabbitmq-server'], tags: ['latest', '3', '3.10', '3.10-bookworm', 'bookworm'] },
].map(({ key, ...recipe }) => [key ?? recipe.name, recipe]))
