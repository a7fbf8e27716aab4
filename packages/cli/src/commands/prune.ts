/** Finishes what dead runs left, and names them. */
export async function prune(): Promise<void> {
  const { prune: finish } = await import('@mayfly/core/engine')
  const gone = await finish()
  for (const id of gone) process.stdout.write(`${id}\n`)
  process.stdout.write(`${gone.length === 1 ? '1 dead run' : `${gone.length} dead runs`} finished\n`)
}
