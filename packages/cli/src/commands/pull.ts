/** Downloads an image, showing progress on a terminal. */
export async function pull(text: string, options: { readonly quiet?: boolean }): Promise<void> {
  const { openStore, parseReference, pullImage } = await import('@mayfly/core/engine')
  const reference = parseReference(text)
  const show = options.quiet !== true && process.stderr.isTTY
  const image = await pullImage(await openStore(), reference, {
    policy: 'always',
    onProgress: ({ done, total }) => {
      if (show) process.stderr.write(`\r${reference.familiar}: ${(done / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB `)
    },
  })
  if (show) process.stderr.write('\r\x1b[K')
  if (options.quiet !== true) process.stdout.write(`Digest: ${image.digest}\n`)
  process.stdout.write(`${String(image.reference)}\n`)
}
