import { TestEnvironment as NodeEnvironment } from 'jest-environment-node'
import { environmentOver } from './environment.js'

export { withMayfly } from './config.js'
export { environmentOver } from './environment.js'

/** Jest's node environment with containers: `@jest-environment @mayfly/jest-env`. */
export const TestEnvironment = environmentOver(NodeEnvironment)
export default TestEnvironment
