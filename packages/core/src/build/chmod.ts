/** What a mode makes of a file's: octal, or symbolic words as chmod takes them. `undefined` for what is none. */
export function chmodOf(text: string): ((mode: number, directory: boolean) => number) | undefined {
  if (/^[0-7]{3,4}$/.test(text)) {
    const mode = Number.parseInt(text, 8)
    return () => mode
  }
  const clauses = text.split(',').map(clause => /^([ugoa]*)([-+=])([rwxXst]*)$/.exec(clause))
  if (clauses.some(clause => clause === null)) return undefined
  return (mode, directory) => clauses.reduce((current, clause) => clauseOn(current, directory, clause?.[1] ?? '', clause?.[2] ?? '', clause?.[3] ?? ''), mode)
}

function clauseOn(mode: number, directory: boolean, who: string, operator: string, what: string): number {
  const classes = who === '' || who.includes('a') ? 'ugo' : who
  let bits = 0
  let whole = 0
  for (const [name, shift] of [['u', 6], ['g', 3], ['o', 0]] as const) {
    if (!classes.includes(name)) continue
    whole |= 7 << shift
    const execute = what.includes('x') || (what.includes('X') && (directory || (mode & 0o111) !== 0))
    bits |= ((what.includes('r') ? 4 : 0) | (what.includes('w') ? 2 : 0) | (execute ? 1 : 0)) << shift
  }
  if (what.includes('s')) bits |= (classes.includes('u') ? 0o4000 : 0) | (classes.includes('g') ? 0o2000 : 0)
  if (what.includes('t')) bits |= 0o1000
  if (operator === '+') return mode | bits
  return operator === '-' ? mode & ~bits : (mode & ~whole) | bits
}
