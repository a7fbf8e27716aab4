const CONTROLS: Readonly<Record<string, number>> = { '@': 0, '[': 27, '\\': 28, ']': 29, '^': 30, '_': 31 }

/** The bytes of Docker's `ctrl-p,ctrl-q`: characters, and `ctrl-` with a letter or one of @[\]^_. */
export function parseDetachKeys(text: string): readonly number[] {
  if (text === '') return []
  return text.split(',').map((key) => {
    const control = /^ctrl-(.)$/.exec(key)?.[1]
    const code = control === undefined ? (key.length === 1 ? key.charCodeAt(0) : undefined)
      : /[a-zA-Z]/.test(control) ? control.toLowerCase().charCodeAt(0) - 96 : CONTROLS[control]
    if (code !== undefined && code < 128) return code
    throw Object.assign(new Error(`Invalid detach keys ${JSON.stringify(text)}: ${JSON.stringify(key)} is no key`), {
      code: 'ERR_MAYFLY_OPTION_INVALID', hint: 'Give characters or ctrl-LETTER, with commas between: ctrl-p,ctrl-q.',
    })
  })
}

/** Passes typed bytes on, and holds back what may be the beginning of the keys. Answers whether they were typed. */
export function detachFilter(keys: readonly number[], pass: (bytes: Buffer) => void): (typed: Buffer) => boolean {
  let matched = 0
  return (typed) => {
    const out: number[] = []
    for (const byte of typed) {
      if (byte !== keys[matched]) {
        // What was held back was no beginning after all; this byte may be one.
        out.push(...keys.slice(0, matched))
        matched = 0
      }
      if (byte === keys[matched]) matched += 1
      else out.push(byte)
      if (matched === keys.length && matched > 0) {
        if (out.length > 0) pass(Buffer.from(out))
        return true
      }
    }
    if (out.length > 0) pass(Buffer.from(out))
    return false
  }
}
