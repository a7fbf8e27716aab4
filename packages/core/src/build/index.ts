import type { BuildOptions, BuiltImage } from './types.js'

let builder: Promise<typeof import('./builder.js')> | undefined

/**
 * Builds an image from a Dockerfile, without a daemon. Only stages that the target needs are built, independent ones at the
 * same time; steps that an earlier build did are taken from it. Throws ERR_MAYFLY_DOCKERFILE_INVALID with file, line and
 * column, ERR_MAYFLY_BUILD_FAILED, and what pulling the base images throws.
 */
export async function build(options: BuildOptions): Promise<BuiltImage> {
  builder ??= import('./builder.js')
  return (await builder).build(options)
}
