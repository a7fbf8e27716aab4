export {
  dropIdleLocks, finishDeadRuns, isSelfContained, removeTree, settle, startUntar, syncAside, type Untar, type UntarReport,
} from './native.js'
export { lockFile, tryLockFile, type FileLock } from './lock.js'
export { compressLayer, layerTar, measureLayer, NOTHING, type CompressedLayer, type LayerSource, type MeasuredLayer } from './produce.js'
export { entriesInStack, namesInStack, readFromStack, resolveInStack, type StackEntry, type StackLayer } from './stack.js'
export { NAME_FILES, STUBS } from './stubs.js'
export { unpackLayer, type UnpackOptions } from './unpack.js'
export { zstdDecompressor } from './zstd.js'
