export { lockFile, startUntar, type FileLock, type Untar, type UntarReport } from './native.js'
export { isSelfContained, settle } from './settle.js'
export { findInStack, readFromStack, type Found } from './stack.js'
export { unpackLayer, type UnpackOptions } from './unpack.js'
