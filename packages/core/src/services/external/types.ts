/** A database server that is not ours, as its administrator's address reaches it. */
export interface ExternalClient {
  /** Whether its user may make databases. */
  mayCreate(): Promise<boolean>
  /** Which database the nth worker gets: `wanted`, or one that is free where they have numbers. */
  choose(wanted: string): Promise<string>
  /** The address of a database of it. */
  urlOf(database: string): string
  /** Makes a database; as a copy of another one where the server can. */
  create(database: string, template?: string): Promise<void>
  /** Whether `create` copies. */
  readonly copies: boolean
  drop(database: string): Promise<void>
  /** Remembers what is in a database; absent where that cannot be brought back. */
  readonly keep?: ((database: string) => Promise<void>) | undefined
  /** Brings it back. Clients stay connected. */
  readonly restore?: ((database: string) => Promise<void>) | undefined
  end(): Promise<void>
}

/** Opens a server at an address. `load` finds a package of the project's. */
export type OpenClient = (url: URL, load: Load) => Promise<ExternalClient>

export type Load = <T>(name: string) => Promise<T>
