export { openStore, pullImage, listImages, defaultHome } from './images/index.js'
export { parseReference } from './reference.js'
export { nativeBinary } from './native/index.js'
export { isMayflyError, MayflyError } from './errors.js'
