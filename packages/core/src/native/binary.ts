import { nativeBinary as find } from '@mayfly/native'

/** The path of the native program. Throws when it is not there for this platform. */
export function nativeBinary(): string {
  return find()
}
