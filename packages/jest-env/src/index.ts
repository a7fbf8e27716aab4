import { nodeEnvironment } from './base.js'
import { environmentOver } from './environment.js'

export { withMayfly, type JestConfig } from './config.js'
export { environmentOver } from './environment.js'

/** Jest's node environment with containers: `@jest-environment @mayfly/jest-env`. */
export const TestEnvironment = environmentOver(nodeEnvironment())
export default TestEnvironment
