const LETTERS = { added: 'A', changed: 'C', deleted: 'D' } as const

/** Prints what a container changed of its image's files, a path a line. */
export async function diff(which: string): Promise<void> {
  const { containerDiff, findContainer } = await import('@mayfly/core/engine')
  for (const { kind, path } of await containerDiff(await findContainer(which))) process.stdout.write(`${LETTERS[kind]} ${path}\n`)
}
