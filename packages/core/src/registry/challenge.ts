/** One challenge of a `WWW-Authenticate` header: the scheme in lower case and its parameters. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

/** Reads `WWW-Authenticate` (RFC 9110, 11.6.1), several challenges and header lines included. */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const text = header === undefined ? '' : typeof header === 'string' ? header : header.join(', ')
  const found: { scheme: string, parameters: Map<string, string> }[] = []
  const token = /\s*,?\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/y
  while (token.lastIndex < text.length) {
    const match = token.exec(text)
    if (match === null) break
    const [, name = '', quoted, bare] = match
    const value = quoted === undefined ? bare : quoted.replace(/\\(.)/g, '$1')
    if (value === undefined) found.push({ scheme: name.toLowerCase(), parameters: new Map() })
    else found.at(-1)?.parameters.set(name.toLowerCase(), value)
  }
  return found
}
