import { contradiction, invalid } from './invalid.js'
import { NAMESPACES } from './operations.js'
import type { SandboxOptions } from './options.js'

type Options = Pick<SandboxOptions, 'pid' | 'ipc' | 'uts' | 'network'>
type Shareable = keyof Options

/** The namespaces of a container: its own, and whose it shares. */
export interface Namespaces {
  /** CLONE_NEW* bits of container.create. */
  readonly create: number
  /** The container whose pid namespace it shares, or empty. */
  readonly pidOf: string
  /** Those to enter, in order: of a container, or of the host when `container` is empty. */
  readonly enter: readonly { readonly namespace: number; readonly container: string }[]
}

const BITS: Readonly<Record<Shareable, number>> = {
  pid: NAMESPACES.pid, ipc: NAMESPACES.ipc, uts: NAMESPACES.uts, network: NAMESPACES.net,
}
const WORDS: Readonly<Record<Shareable, readonly string[]>> = {
  pid: ['private', 'host'], ipc: ['private', 'host'], uts: ['private', 'host'], network: ['none', 'host'],
}

/** The id or name after `container:`, if the option says so. */
export function sharedWith(mode: string | undefined): string | undefined {
  return mode?.startsWith('container:') === true ? mode.slice('container:'.length) : undefined
}

/** What the options say about namespaces; `container:` is followed by an id here. */
export function namespacesOf(options: Options): Namespaces {
  let create: number = NAMESPACES.mount
  const enter: { namespace: number; container: string }[] = []
  for (const [kind, namespace] of Object.entries(BITS) as [Shareable, number][]) {
    const mode = options[kind]
    const container = sharedWith(mode)
    if (mode === undefined || mode === 'private' || mode === 'none') create |= namespace
    else if (container !== undefined && kind !== 'pid') enter.push({ namespace, container })
    // The supervisor has left the host's network, and only that; its pid namespace is the run's.
    else if (mode === 'host' && kind === 'network') enter.push({ namespace, container: '' })
  }
  return { create, enter, pidOf: sharedWith(options.pid) ?? '' }
}

/** Whether a container of these options has every namespace for itself, and an address of the run's network. */
export function isPrivate(options: Options): boolean {
  return namespacesOf(options).create === PRIVATE && options.network === undefined
}

const PRIVATE = Object.values(BITS).reduce((sum, bit) => sum | bit, NAMESPACES.mount as number)

/** Throws ERR_MAYFLY_OPTION_INVALID for a word that is none, and for what a shared namespace does not let a container choose. */
export function checkNamespaces(options: SandboxOptions): void {
  for (const [kind, words] of Object.entries(WORDS) as [Shareable, readonly string[]][]) {
    const mode = options[kind]
    if (mode === undefined || words.includes(mode) || sharedWith(mode)) continue
    const allowed = [...words, 'container:NAME'].map((word) => JSON.stringify(word)).join(', ')
    throw invalid(kind, mode, `it is none of ${allowed}`)
  }
  const shared = (kind: Shareable): boolean => options[kind] === 'host' || sharedWith(options[kind]) !== undefined
  const refuse = (kind: Shareable, other: keyof SandboxOptions, why: string): void => {
    if (shared(kind) && options[other] !== undefined) throw contradiction(`${kind} ${JSON.stringify(options[kind])}`, other, why)
  }
  refuse('uts', 'hostname', 'the name belongs to the shared namespace')
  refuse('uts', 'domainname', 'the name belongs to the shared namespace')
  refuse('ipc', 'shmSize', 'the shared memory is the other\'s')
  if (sharedWith(options.network) !== undefined) {
    refuse('network', 'extraHosts', 'the names are the other container\'s')
    refuse('network', 'dns', 'the name servers are the other container\'s')
  }
  for (const name of Object.keys(options.sysctls ?? {})) {
    const path = name.replaceAll('.', '/')
    if (path.startsWith('net/') && shared('network')) throw contradiction(`network ${JSON.stringify(options.network)}`, `sysctl ${name}`, 'it would change the shared network')
    if (/^(?:kernel|fs)\//.test(path) && shared('ipc') && path !== 'kernel/domainname') throw contradiction(`ipc ${JSON.stringify(options.ipc)}`, `sysctl ${name}`, 'it would change the shared namespace')
  }
}
