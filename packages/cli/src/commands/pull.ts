interface Flags {
  readonly quiet?: boolean
  readonly platform?: string
}

/** Downloads an image, or without a name those of the configuration, showing progress on a terminal. */
export async function pull(text: string | undefined, options: Flags): Promise<void> {
  if (text !== undefined) return await one(text, options)
  const { configOf, imagesOf } = await import('@mayfly/core/plugin')
  const { config } = await configOf(process.cwd())
  // One after the other: their layers come side by side.
  for (const { image } of imagesOf(config)) await one(image, options)
}

async function one(text: string, options: Flags): Promise<void> {
  const { openStore, parsePlatform, parseReference, pullImage } = await import('@mayfly/core/engine')
  const reference = parseReference(text)
  const show = options.quiet !== true && process.stderr.isTTY
  const image = await pullImage(await openStore(), reference, {
    policy: 'always',
    ...(options.platform === undefined ? {} : { platform: parsePlatform(options.platform) }),
    onProgress: ({ done, total }) => {
      if (show) process.stderr.write(`\r${reference.familiar}: ${(done / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB `)
    },
  })
  if (show) process.stderr.write('\r\x1b[K')
  if (options.quiet !== true) process.stdout.write(`Digest: ${image.digest}\n`)
  process.stdout.write(`${String(image.reference)}\n`)
}
