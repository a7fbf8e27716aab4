/** Where something stands in a Dockerfile; both count from 1. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** A heredoc's body: `<<NAME`, `<<-NAME` (tabs stripped), quoted (nothing expanded). [Dockerfile reference, "Here-Documents"] */
export interface Heredoc {
  readonly name: string
  readonly content: string
  readonly expand: boolean
  readonly stripTabs: boolean
}

/** A command as words, or as text for the shell. */
export type Command =
  | { readonly form: 'exec'; readonly words: readonly string[] }
  | { readonly form: 'shell'; readonly text: string; readonly heredocs: readonly Heredoc[] }

export interface Pair {
  readonly name: string
  readonly value: string
}

/** `RUN --mount=…`, its words not yet expanded. */
export interface RunMount {
  readonly type: 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh'
  readonly options: Readonly<Record<string, string>>
}

interface Base {
  readonly place: Place
  /** The whole instruction as one line, for the history and for messages. */
  readonly source: string
}

export interface CopyInstruction extends Base {
  readonly kind: 'COPY' | 'ADD'
  readonly sources: readonly string[]
  readonly heredocs: readonly Heredoc[]
  readonly destination: string
  readonly from?: string
  readonly chown?: string
  readonly chmod?: string
  readonly link: boolean
  readonly parents: boolean
  readonly exclude: readonly string[]
  readonly checksum?: string
  readonly unpack?: boolean
  readonly keepGitDir: boolean
}

export interface FromInstruction extends Base {
  readonly kind: 'FROM'
  readonly image: string
  readonly name?: string
  readonly platform?: string
}

export interface HealthcheckInstruction extends Base {
  readonly kind: 'HEALTHCHECK'
  /** Absent for NONE. */
  readonly command?: Command
  readonly interval?: string
  readonly timeout?: string
  readonly startPeriod?: string
  readonly startInterval?: string
  readonly retries?: string
}

export interface RunInstruction extends Base {
  readonly kind: 'RUN'
  readonly command: Command
  readonly mounts: readonly RunMount[]
  readonly network?: 'default' | 'none' | 'host'
  readonly security?: 'sandbox' | 'insecure'
}

export type Instruction =
  | FromInstruction
  | RunInstruction
  | CopyInstruction
  | HealthcheckInstruction
  | (Base & { readonly kind: 'ARG'; readonly args: readonly { readonly name: string; readonly value?: string }[] })
  | (Base & { readonly kind: 'ENV' | 'LABEL'; readonly pairs: readonly Pair[] })
  | (Base & { readonly kind: 'CMD' | 'ENTRYPOINT'; readonly command: Command })
  | (Base & { readonly kind: 'SHELL'; readonly words: readonly string[] })
  | (Base & { readonly kind: 'EXPOSE' | 'VOLUME'; readonly words: readonly string[] })
  | (Base & { readonly kind: 'USER' | 'WORKDIR' | 'STOPSIGNAL' | 'MAINTAINER'; readonly value: string })
  | (Base & { readonly kind: 'ONBUILD'; readonly trigger: string })

export interface Dockerfile {
  /** Parser directives of the first lines: `syntax`, `escape`, `check`. */
  readonly directives: Readonly<Record<string, string>>
  readonly instructions: readonly Instruction[]
}
