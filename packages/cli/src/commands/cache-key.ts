/** `mayfly cache-key`: what a CI names its cache of MAYFLY_HOME by. */
export async function cacheKey(): Promise<void> {
  const { cacheKey: key } = await import('@mayfly/core/plugin')
  process.stdout.write(`${await key(process.cwd())}\n`)
}
