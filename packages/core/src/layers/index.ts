export { isSelfContained, lockFile, removeTree, settle, startUntar, type FileLock, type Untar, type UntarReport } from './native.js'
export { findInStack, readFromStack, type Found } from './stack.js'
export { unpackLayer, type UnpackOptions } from './unpack.js'
