/** Says what this machine allows, and whether names of services are typed here, with the mend for each shortfall; exit code 1 when Mayfly cannot work here. */
export async function doctor(options: { readonly format?: string }): Promise<void> {
  const { diagnose } = await import('@mayfly/core/engine')
  const [{ findConfig }, { typedNames }] = await Promise.all([import('@mayfly/core/plugin'), import('./doctor-types.js')])
  const names = typedNames(findConfig(process.cwd()))
  const findings = [...await diagnose(), ...(names === undefined ? [] : [names])]
  for (const finding of findings) {
    const word = finding.ok ? 'ok' : finding.needed ? 'LACKING' : 'limited'
    const mend = finding.mend === undefined ? '' : `${finding.mend.replaceAll(/^/gm, ' '.repeat(9))}\n`
    process.stdout.write(options.format === 'json' ? `${JSON.stringify(finding)}\n`
      : `${word.padEnd(8)} ${finding.name.padEnd(16)} ${finding.value}\n${mend}`)
  }
  if (findings.some(({ ok, needed }) => needed && !ok)) process.exitCode = 1
}
