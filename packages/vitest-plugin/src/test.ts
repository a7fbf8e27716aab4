export { bind, type Bound } from './bind.js'
export { container, type UseOptions } from './container.js'
export { fixtures, withContainers } from './fixtures.js'
export { hooks } from './reach.js'
