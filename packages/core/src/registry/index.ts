export { fetchBlob, type BlobDownload } from './blob.js'
export { fetchDigest, fetchManifest, fetchSmallBlob, type FetchedManifest } from './client.js'
export { parseChallenges, type Challenge } from './challenge.js'
export { credentialsFor, type Credentials } from './credentials.js'
export { login, logout, type LoginResult } from './login.js'
export { uploadBlob, uploadManifest, type Uploaded } from './upload.js'
export { endpointsFor, type Endpoint } from './endpoints.js'
export { registrySettings } from './settings.js'
export { fetchTags } from './tags.js'
export { throwIfAborted } from './http.js'
export {
  choosePlatform, parseJson, parseManifest, type Descriptor, type ImageIndex, type ImageManifest,
} from './manifest.js'
