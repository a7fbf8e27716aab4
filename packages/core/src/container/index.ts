export { run } from './run.js'
export { currentRun, endRun, socketDirectory } from './supervision.js'
export { wait } from './wait.js'
export type * from './types.js'
