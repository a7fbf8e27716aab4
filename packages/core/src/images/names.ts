/** `redis` of `redis:7`, `redis` and `redis@sha256:…`. */
export function repositoryOf(familiar: string): string {
  const name = familiar.split('@')[0] ?? ''
  const colon = name.lastIndexOf(':')
  return colon > name.lastIndexOf('/') ? name.slice(0, colon) : name
}

/** `redis:latest` of `redis`. */
export function withTag(familiar: string): string {
  return repositoryOf(familiar) === familiar ? `${familiar}:latest` : familiar
}
