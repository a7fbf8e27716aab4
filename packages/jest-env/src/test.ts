export { container, type UseOptions } from './container.js'
export { fixtures } from './fixtures.js'
export { hooks } from './reach.js'
export { withContainers, type ContainerTest } from './with-containers.js'
