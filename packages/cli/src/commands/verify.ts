import { formatValue } from '../template/index.js'

/** Checks the store, and with `repair` takes away what is wrong; the exit code is 1 when something wrong is left. */
export async function verify({ repair, format }: { readonly repair?: boolean, readonly format?: string }): Promise<void> {
  const { openStore, verifyStore } = await import('@mayfly/core/engine')
  const report = await verifyStore(await openStore(), { repair })
  const { problems, blobs, layers, names, snapshots } = report
  if (problems.some(({ repaired }) => !repaired)) process.exitCode = 1
  if (format !== undefined) return void process.stdout.write(formatValue(report, format))
  for (const { kind, what, why, repaired } of problems) process.stdout.write(`${repaired ? 'removed' : 'damaged'}: ${kind} ${what}: ${why}\n`)
  process.stdout.write(`${blobs} blobs, ${layers} layers, ${names} names, ${snapshots} snapshots: ${outcome(problems.length, repair)}\n`)
}

function outcome(problems: number, repair: boolean | undefined): string {
  if (problems === 0) return 'all whole'
  const found = problems === 1 ? '1 problem' : `${problems} problems`
  return repair === true ? `${found}; the next pull brings back what was removed` : `${found}; --repair takes away what is damaged`
}
