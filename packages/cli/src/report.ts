const exitCodes: Readonly<Record<string, number>> = {
  ERR_MAYFLY_COMMAND_NOT_EXECUTABLE: 126,
  ERR_MAYFLY_COMMAND_NOT_FOUND: 127,
}

/** Prints an error as the command line does, and returns Docker's exit code for it: 126, 127, the error's own, or `otherwise`. */
export function report(error: unknown, otherwise = 125): number {
  const { code, message, hint } = facts(error)
  process.stderr.write(`mayfly: ${message}${code === undefined ? '' : ` (${code})`}\n${hint === undefined ? '' : `${hint}\n`}`)
  return exitCodes[code ?? ''] ?? (error as { exitCode?: number } | undefined)?.exitCode ?? otherwise
}

function facts(error: unknown): { code?: string | undefined, message: string, hint?: string | undefined } {
  if (!(error instanceof Error)) return { message: String(error) }
  const { code, hint } = error as { code?: unknown, hint?: unknown }
  return {
    message: error.message,
    code: typeof code === 'string' && code.startsWith('ERR_MAYFLY_') ? code : undefined,
    hint: typeof hint === 'string' ? hint : undefined,
  }
}
