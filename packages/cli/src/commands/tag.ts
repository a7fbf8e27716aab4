/** `mayfly tag`: one more name for an image. */
export async function tag(image: string, name: string): Promise<void> {
  const { openStore, parseReference, tagImage } = await import('@mayfly/core/engine')
  await tagImage(await openStore(), parseReference(image), parseReference(name))
}
