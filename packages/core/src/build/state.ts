import { digestOf, type Digest } from '../digest.js'
import type { Image } from '../images/index.js'
import type { StackLayer } from '../layers/index.js'
import type { FreshLayer } from './pack.js'

/** The `config` object of an image's configuration, as it is written. */
export interface RawConfig {
  readonly Env?: readonly string[]
  readonly Cmd?: readonly string[] | null
  readonly Entrypoint?: readonly string[] | null
  readonly ExposedPorts?: Readonly<Record<string, object>>
  readonly Volumes?: Readonly<Record<string, object>>
  readonly User?: string
  readonly WorkingDir?: string
  readonly StopSignal?: string
  readonly Shell?: readonly string[]
  readonly Healthcheck?: object
  readonly Labels?: Readonly<Record<string, string>>
  readonly OnBuild?: readonly string[]
  readonly [name: string]: unknown
}

export interface HistoryEntry {
  readonly created?: string
  readonly created_by?: string
  readonly comment?: string
  readonly author?: string
  readonly empty_layer?: true
}

/** A layer of an image being built. */
export type BuildLayer =
  | { readonly kind: 'stored'; readonly tree: StackLayer; readonly diffId: Digest; readonly blob: { readonly mediaType: string; readonly digest: Digest; readonly size: number } }
  | { readonly kind: 'fresh'; readonly tree: StackLayer; readonly fresh: FreshLayer; readonly cacheKey: string; readonly createdAt: number }

/** An image at one step of its building. */
export interface BuildState {
  readonly config: RawConfig
  readonly history: readonly HistoryEntry[]
  /** Bottom first. */
  readonly layers: readonly BuildLayer[]
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string }
  /** What the state depends on: equal keys are equal images. */
  readonly key: string
  /** Variables of ARG, which are not the image's. */
  readonly args: Readonly<Record<string, string>>
  /** Whether a stage, and not its base image, has said what CMD is. */
  readonly ownCmd: boolean
  /** Of the base image; absent for scratch and for what other stages began with. */
  readonly base?: Image
}

/** As BuildKit has it, an image begun from nothing knows where programs are. */
const EMPTY: RawConfig = { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], WorkingDir: '/' }

/** Nothing. */
export function scratch(platform: BuildState['platform']): BuildState {
  return { config: EMPTY, history: [], layers: [], platform, key: 'scratch', args: {}, ownCmd: false }
}

/** The layers' directories, top first, some without their marks. */
export function stackOf({ layers }: Pick<BuildState, 'layers'>): readonly StackLayer[] {
  return layers.map(({ tree }) => tree).reverse()
}

/** The key of the state that an instruction makes of another. */
export function nextKey(key: string, ...parts: readonly string[]): string {
  return digestOf(JSON.stringify([key, ...parts])).slice('sha256:'.length)
}

/** The layers with all their marks, for looking files up in them, top first. */
export async function settledStack({ layers }: Pick<BuildState, 'layers'>): Promise<readonly StackLayer[]> {
  const settled = layers.map(async layer =>
    layer.kind === 'stored' ? layer.tree : { directory: layer.tree.directory, opaque: await layer.fresh.opaque })
  return (await Promise.all(settled)).reverse()
}

/** The value of a variable of the image's environment. */
export function envOf({ Env = [] }: RawConfig, name: string): string | undefined {
  return Env.findLast(pair => pair.startsWith(`${name}=`))?.slice(name.length + 1)
}

export function withEnv(env: readonly string[], name: string, value: string): readonly string[] {
  const at = env.findIndex(pair => pair.startsWith(`${name}=`))
  return at < 0 ? [...env, `${name}=${value}`] : env.map((pair, nth) => (nth === at ? `${name}=${value}` : pair))
}
