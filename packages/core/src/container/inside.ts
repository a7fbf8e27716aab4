import { environment } from '../sandbox/command.js'
import { addGroups, compileExec, resolveUser, type Identity, type Rights } from '../sandbox/index.js'
import type { IdMap } from '../idmap.js'
import type { ExecOptions, RunOptions } from './types.js'

/** What a command in a container inherits from it. Plain data: whoever did not start the container is told by its label. */
export interface Inside {
  /** All but a HOME that nobody set. */
  readonly env: readonly string[]
  readonly hostname: string
  readonly workdir: string
  readonly identity: Identity
  readonly groupAdd?: readonly (string | number)[] | undefined
  readonly rights: Rights
}

export interface InsideInput {
  readonly image: { readonly Env: readonly string[], readonly WorkingDir: string }
  readonly options: Pick<RunOptions, 'env' | 'workdir' | 'groupAdd'> & Rights
  readonly hostname: string
  readonly identity: Identity
}

export function insideOf({ image, options, hostname, identity }: InsideInput): Inside {
  const { capAdd, capDrop, privileged, seccomp, timeOffsets, noNewPrivileges, ulimits } = options
  return {
    env: environment(image, options.env ?? {}, hostname, '').filter((entry) => entry !== 'HOME='),
    hostname,
    workdir: options.workdir ?? (image.WorkingDir === '' ? '/' : image.WorkingDir),
    identity,
    groupAdd: options.groupAdd,
    rights: { capAdd, capDrop, privileged, seccomp, timeOffsets, noNewPrivileges, ulimits },
  }
}

/** Where a command runs. */
export interface Place {
  readonly id: string
  readonly inside: Inside
  /** The image's /etc/passwd and /etc/group. */
  readonly accounts: () => Promise<readonly [string, string]>
  readonly map: IdMap | undefined
}

/** The operation list of a command. Throws ERR_MAYFLY_OPTION_INVALID. */
export async function compileCommand({ id, inside, accounts, map }: Place, command: readonly string[], options: ExecOptions): Promise<Buffer> {
  const { hostname, rights } = inside
  let { identity } = inside
  if (options.user !== undefined) {
    const [passwd, group] = await accounts()
    identity = addGroups(resolveUser(options.user, passwd, group), inside.groupAdd, group)
  }
  return compileExec({
    container: id, argv: command, identity, map, tty: options.tty, cwd: options.cwd ?? inside.workdir,
    env: environment({ Env: inside.env }, options.env ?? {}, hostname, identity.home),
    options: { ...rights, privileged: options.privileged ?? rights.privileged },
  })
}
