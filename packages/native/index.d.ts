/** The version of this package. */
export declare const version: string

/**
 * The path of the native program: MAYFLY_NATIVE_PATH, else the platform's optional package, else the local build.
 *
 * @throws Error with code `ERR_MAYFLY_NOT_LINUX` or `ERR_MAYFLY_NATIVE_MISSING`, and a `hint`.
 */
export declare function nativeBinary(): string
