import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** What a machine lacks and what mends it. */
export interface Finding {
  readonly name: string
  readonly value: string
  readonly ok: boolean
  readonly mend?: string
}

/** Says what this machine allows, with the mend for each shortfall; exit code 1 when Mayfly cannot work here. */
export async function doctor(options: { readonly format?: string }): Promise<void> {
  const { nativeBinary } = await import('@mayfly/core/engine')
  const { stdout } = await promisify(execFile)(nativeBinary(), ['probe'])
  const findings = judge(stdout)
  for (const finding of findings) {
    if (options.format === 'json') process.stdout.write(`${JSON.stringify(finding)}\n`)
    else process.stdout.write(`${finding.ok ? 'ok      ' : 'LACKING '} ${finding.name.padEnd(16)} ${finding.value}\n${finding.mend === undefined ? '' : `         ${finding.mend}\n`}`)
  }
  if (findings.some((finding) => !finding.ok)) process.exitCode = 1
}

/** @param probe  the native program's `name=value` lines */
export function judge(probe: string): Finding[] {
  const facts = new Map(probe.split('\n').filter((line) => line.includes('=')).map((line) => {
    const at = line.indexOf('=')
    return [line.slice(0, at), line.slice(at + 1)] as const
  }))
  const fact = (name: string): string => facts.get(name) ?? ''
  const finding = (name: string, ok: boolean, mend: string): Finding => ({ name, value: fact(name), ok, ...(ok ? {} : { mend }) })
  const [major = 0, minor = 0] = fact('kernel').split('.').map(Number)
  const missing = ['cpu', 'memory', 'pids'].filter((name) => !fact('controllers').split(' ').includes(name))
  return [
    finding('kernel', major > 5 || (major === 5 && minor >= 11), 'Mayfly needs Linux 5.11 or newer: upgrade the kernel.'),
    finding('uid', fact('uid') === '0', 'This version runs as root only: sudo -E mayfly …'),
    finding('capabilities', (BigInt(`0x${fact('capabilities') || '0'}`) & (1n << 21n)) !== 0n,
      'CAP_SYS_ADMIN is missing: run outside an unprivileged container, or start that with --privileged.'),
    finding('overlay', fact('overlay') === 'yes', 'modprobe overlay'),
    finding('controllers', missing.length === 0, `Limits of ${missing.join(', ')} cannot be enforced: mount these cgroup controllers.`),
    finding('pidfd', fact('pidfd') === 'yes', 'pidfd_open is refused: allow it in the seccomp profile of the surrounding container.'),
    finding('clone3', fact('clone3') === 'yes', 'clone3 is refused: allow it in the seccomp profile of the surrounding container.'),
    finding('openat2', fact('openat2') === 'yes', 'openat2 is refused: allow it in the seccomp profile of the surrounding container.'),
  ]
}
