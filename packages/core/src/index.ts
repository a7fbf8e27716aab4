export { run } from './container/run.js'
export { wait } from './container/wait.js'
export type * from './container/types.js'
export { isMayflyError, MayflyError, type ErrorCode } from './errors.js'
