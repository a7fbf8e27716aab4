import { MayflyError } from './errors.js'

/** An operating system and processor as OCI names them. */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64', ia32: '386', ppc64: 'ppc64le', loong64: 'loong64', arm: 'arm',
}

/** The platform of containers on this machine. */
export function hostPlatform(): Platform {
  const architecture = ARCHITECTURES[process.arch] ?? process.arch
  return { os: 'linux', architecture, ...(architecture === 'arm' ? { variant: 'v7' } : {}) }
}

/** Throws ERR_MAYFLY_NOT_LINUX on any other kernel. */
export function requireLinux(): void {
  if (process.platform === 'linux') return
  throw new MayflyError('ERR_MAYFLY_NOT_LINUX', `Mayfly runs containers with the Linux kernel; this is ${process.platform}`, {
    hint: 'Run inside a Linux machine, a virtual machine or WSL 2.',
  })
}

/** Reads `os/architecture[/variant]` or a bare architecture. Throws ERR_MAYFLY_OPTION_INVALID. */
export function parsePlatform(text: string): Platform {
  const parts = text.split('/')
  if (parts.length > 3 || parts.some((part) => !/^[a-zA-Z0-9_.-]+$/.test(part))) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid platform ${JSON.stringify(text)}`, {
      hint: 'Write it as os/architecture[/variant], for example "linux/arm64" or "linux/arm/v7".',
    })
  }
  const [first = '', second, variant] = parts
  const os = second === undefined ? 'linux' : first
  const named = (second ?? first).toLowerCase()
  const architecture = named === 'x86_64' ? 'amd64' : named === 'aarch64' ? 'arm64' : named
  return { os: os.toLowerCase(), architecture, ...(variant === undefined ? {} : { variant }) }
}

export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`
}

/** How well `offered` serves `wanted`: 0 not at all, more is better. Arm v7 runs v6 and v5 code. */
export function platformFit(wanted: Platform, offered: Platform): number {
  if (wanted.os !== offered.os || wanted.architecture !== offered.architecture) return 0
  const want = variantOf(wanted)
  const have = variantOf(offered)
  if (want === have) return 100
  if (wanted.architecture === 'arm' && have < want) return 50 + have
  if (wanted.architecture === 'amd64') return have <= 1 ? 50 : have <= want ? 50 + have : 0
  return wanted.variant === undefined ? 10 : 0
}

function variantOf({ architecture, variant }: Platform): number {
  if (variant !== undefined) return Number(/^v(\d+)/.exec(variant)?.[1] ?? 0)
  return architecture === 'arm64' ? 8 : architecture === 'arm' ? 7 : architecture === 'amd64' ? 1 : 0
}
