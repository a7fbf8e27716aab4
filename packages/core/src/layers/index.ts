export {
  dropIdleLocks, finishDeadRuns, isSelfContained, lockFile, removeTree, settle, startUntar, syncAside, type FileLock, type Untar, type UntarReport,
} from './native.js'
export { layerDiffId, layerTar, produceLayer, type LayerSource, type ProducedLayer } from './produce.js'
export { namesInStack, readFromStack, resolveInStack, type StackEntry, type StackLayer } from './stack.js'
export { NAME_FILES, STUBS } from './stubs.js'
export { unpackLayer, type UnpackOptions } from './unpack.js'
export { zstdDecompressor } from './zstd.js'
