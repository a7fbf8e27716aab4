export { containerLogs, findContainer, listContainers, stopContainer, type RunningListing } from './container/runs.js'
export { pruneImages, removeImage, type PruneImagesOptions } from './container/images.js'
export type { NetworkListing } from './container/named.js'
export { openContainer, type RemoteContainer } from './container/remote.js'
export { info, type Info } from './container/info.js'
export { planOf } from './container/plan.js'
export { prune } from './container/prune.js'
export { createVolume, listVolumes, pruneVolumes, removeVolume, usersOf, type VolumeRecord } from './container/volumes.js'
export { openSnapshot, run } from './container/run.js'
export { removeSnapshot, snapshots } from './container/snapshot.js'
export { build } from './build/index.js'
export type * from './build/types.js'
export { pushImage, tagImage, type PushProgress } from './images/index.js'
export { login, logout, type LoginResult } from './registry/index.js'
export { endRun, keeperSocket } from './container/supervision.js'
export type * from './container/types.js'
export { isMayflyError, MayflyError, type ErrorCode } from './errors.js'
export {
  chooseImage, collectGarbage, imageFile, imageFilter, imageHistory, inspectImage, isUnnamed, listCatalog, listImages, loadImages, openLease, openStore, pullImage,
  repositoryOf, saveImages, storeUsage, untaggedNames, verifyStore, withTag,
  type Garbage, type GarbageOptions, type HistoryStep, type Image, type ImageDocument, type ImageUsage, type Lease, type ListedImage, type LoadedImage, type LoadOptions,
  type LayerProgress, type PullProgress, type RemovedImage, type SnapshotUsage, type Store, type StoreProblem, type StoreReport, type StoreUsage, type StoredImage,
  type StoredName, type VerifyOptions,
} from './images/index.js'
export { parsePlatform } from './platform.js'
export { parseReference, type Reference } from './reference.js'
export { nativeBinary } from './native/binary.js'
export { diagnose } from './native/diagnose.js'
export type { Finding } from './native/diagnosis.js'
export { parseDuration, parseSize, formatSize } from './units.js'
