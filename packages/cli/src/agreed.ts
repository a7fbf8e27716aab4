/** Asks as Docker does; without anybody to answer, it is no. */
export async function agreed(which: string, force: boolean | undefined): Promise<boolean> {
  if (force === true) return true
  process.stdout.write(`WARNING! This will remove ${which}.\nAre you sure you want to continue? [y/N] `)
  const { createInterface } = await import('node:readline')
  const lines = createInterface({ input: process.stdin })
  for await (const line of lines) {
    lines.close()
    if (/^y(es)?$/i.test(line.trim())) return true
    break
  }
  process.stdout.write('\nNothing was removed; -f removes without asking.\n')
  process.exitCode = 1
  return false
}
