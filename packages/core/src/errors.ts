import { types } from 'node:util'

/** Every code a {@link MayflyError} can carry, with its meaning in one line. */
export const ERROR_CODES = {
  ERR_MAYFLY_ABORTED: "The caller's AbortSignal ended the operation",
  ERR_MAYFLY_ADDRESS_IN_USE: 'The requested host port, address or subnet is taken',
  ERR_MAYFLY_BUILD_FAILED: 'A step of a build failed',
  ERR_MAYFLY_ARCHIVE_INVALID: 'An archive of images cannot be used',
  ERR_MAYFLY_COMMAND_NOT_EXECUTABLE: 'The command exists in the container but cannot be executed',
  ERR_MAYFLY_COMMAND_NOT_FOUND: 'The command does not exist in the container',
  ERR_MAYFLY_CONFIG_INVALID: 'The configuration does not have the expected form',
  ERR_MAYFLY_CONFIG_NOT_FOUND: 'No configuration file was found',
  ERR_MAYFLY_CONTAINER_EXITED: 'The container ended before it was ready',
  ERR_MAYFLY_CONTAINER_NOT_FOUND: 'No container has this id or name',
  ERR_MAYFLY_CONTAINER_RUNNING: 'The container runs, which stands in the way',
  ERR_MAYFLY_COPY_FAILED: 'Files could not be copied into or out of a container',
  ERR_MAYFLY_DIGEST_INVALID: 'Text that should be a digest is none, or uses an algorithm other than sha256',
  ERR_MAYFLY_DIGEST_MISMATCH: 'Content does not have the digest it was announced with',
  ERR_MAYFLY_DISK_FULL: 'What was to be written does not fit any more',
  ERR_MAYFLY_DOCKERFILE_INVALID: 'The Dockerfile cannot be read',
  ERR_MAYFLY_IMAGE_IN_USE: 'Containers are made from the image that was to be removed',
  ERR_MAYFLY_IMAGE_NOT_FOUND: 'The registry or the store does not have this image',
  ERR_MAYFLY_INTERNAL: 'Mayfly broke one of its own rules: a bug',
  ERR_MAYFLY_LAYER_INVALID: 'A layer cannot be unpacked',
  ERR_MAYFLY_LIMIT_UNSUPPORTED: 'This machine cannot enforce the requested limit',
  ERR_MAYFLY_MANIFEST_INVALID: 'A manifest or image config is malformed or of an unsupported kind',
  ERR_MAYFLY_NAME_IN_USE: 'Another container or network has this name',
  ERR_MAYFLY_NATIVE_FAILED: 'The native program failed',
  ERR_MAYFLY_NATIVE_MISSING: 'The native program is not there for this platform',
  ERR_MAYFLY_NETWORK_IN_USE: 'The network still has containers',
  ERR_MAYFLY_NETWORK_NOT_FOUND: 'No network has this id or name',
  ERR_MAYFLY_NOT_LINUX: 'This needs Linux',
  ERR_MAYFLY_NOT_RUNNING: 'The container or command has ended',
  ERR_MAYFLY_NOT_STARTED: 'The service or container has not been started',
  ERR_MAYFLY_OPTION_INVALID: 'An option has a value that is not allowed',
  ERR_MAYFLY_OUT_OF_MEMORY: 'The container was ended for exceeding its memory limit',
  ERR_MAYFLY_PATH_NOT_FOUND: 'There is no file or directory at the path',
  ERR_MAYFLY_PLATFORM_MISMATCH: 'The image has no variant for the wanted platform',
  ERR_MAYFLY_PREPARE_FAILED: 'A service could not be brought into its prepared state',
  ERR_MAYFLY_REFERENCE_INVALID: 'The image reference is malformed',
  ERR_MAYFLY_REGISTRY_UNAUTHORIZED: 'The registry refused the credentials, or wants some',
  ERR_MAYFLY_REGISTRY_UNAVAILABLE: 'The registry cannot be reached or does not answer properly',
  ERR_MAYFLY_RESET_FAILED: 'A service could not be brought back to its prepared state',
  ERR_MAYFLY_RUN_LOST: 'The supervisor of this run is gone, and its containers with it',
  ERR_MAYFLY_SERVICE_UNKNOWN: 'The configuration has no service of this name',
  ERR_MAYFLY_STDIN_CLOSED: 'The process takes no more input',
  ERR_MAYFLY_STORE_BUSY: 'Another process holds the image store',
  ERR_MAYFLY_STORE_FAILED: 'The image store cannot be read or written',
  ERR_MAYFLY_STORE_FOREIGN: 'The image store was made by root and is used by an ordinary user, or the reverse',
  ERR_MAYFLY_TIMEOUT: 'The operation took longer than allowed',
  ERR_MAYFLY_UNHEALTHY: 'The health check of a container failed too often',
  ERR_MAYFLY_UNPRIVILEGED: 'This needs privileges the process does not have',
  ERR_MAYFLY_UNSUPPORTED: 'Mayfly does not support this',
  ERR_MAYFLY_VOLUME_IN_USE: 'Containers have the volume that was to be removed',
  ERR_MAYFLY_VOLUME_NOT_FOUND: 'No volume has this name',
} as const

/** A stable error code. Compare errors by it, never by class. */
export type ErrorCode = keyof typeof ERROR_CODES

export interface MayflyErrorOptions {
  /** What the user can do about it, as a full sentence. */
  readonly hint?: string | undefined
  readonly cause?: unknown
  /** Facts for programs; never secrets. */
  readonly details?: Readonly<Record<string, unknown>> | undefined
}

/** An error with a stable code, a message that says what was being done, and a hint that can be acted on. */
export class MayflyError extends Error {
  readonly code: ErrorCode
  readonly hint?: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: MayflyErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'MayflyError'
    this.code = code
    if (options.hint !== undefined) this.hint = options.hint
    this.details = options.details ?? {}
  }
}

/** Whether `e` is an error of Mayfly's, also one made by another copy of the package, or in another realm. */
export function isMayflyError(e: unknown): e is MayflyError {
  return isError(e) && 'code' in e && typeof e.code === 'string' && e.code.startsWith('ERR_MAYFLY_')
}

/** Whether `e` is an error of whatever realm: in Jest, Node's own are of another than the tests'. */
export function isError(e: unknown): e is Error {
  return types.isNativeError(e) || e instanceof Error
}

/** What a thrown value says. */
export function messageOf(thrown: unknown): string {
  return isError(thrown) ? thrown.message : String(thrown)
}
