import type { PushProgress } from '@mayfly/core/engine'

const WORDS: Readonly<Partial<Record<PushProgress['state'], string>>> = { there: 'Layer already exists', mounted: 'Mounted', uploaded: 'Pushed' }

/** `mayfly push`: a line for each layer, and the digest at the end, as Docker prints them. */
export async function push(text: string, { quiet, allTags }: { readonly quiet?: boolean, readonly allTags?: boolean }): Promise<void> {
  const { listImages, openStore, parseReference, pushImage } = await import('@mayfly/core/engine')
  const store = await openStore()
  const given = parseReference(text)
  const references = allTags !== true ? [given] : (await listImages(store)).map(({ reference }) => reference)
    .filter(({ registry, repository, tag }) => registry === given.registry && repository === given.repository && tag !== undefined)
  const say = (line: string): void => { if (quiet !== true) process.stdout.write(`${line}\n`) }
  say(`The push refers to repository [${given.registry}/${given.repository}]`)
  for (const reference of references) {
    const digest = await pushImage(store, reference, {
      onProgress: ({ blob, state }) => {
        const word = WORDS[state]
        if (word !== undefined) say(`${blob.slice(7, 19)}: ${word}`)
      },
    })
    say(`${reference.tag ?? 'latest'}: digest: ${digest}`)
    if (quiet === true) process.stdout.write(`${String(reference)}\n`)
  }
}
