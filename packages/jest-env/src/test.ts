export { container } from './container.js'
export { fixtures } from './fixtures.js'
export { withContainers, type ContainerTest } from './with-containers.js'
