import { release } from 'node:os'

import { formatValue } from '../template/index.js'
import { VERSION } from '../version.js'

/** Docker's two parts; here they are one program. */
export function version({ format }: { readonly format?: string }): Promise<void> {
  const part = { Version: VERSION, Os: process.platform, Arch: process.arch === 'x64' ? 'amd64' : process.arch, KernelVersion: release(), NodeVersion: process.version }
  const document = { Client: part, Server: part }
  process.stdout.write(format !== undefined ? formatValue(document, format)
    : `Mayfly:\n Version:     ${part.Version}\n OS/Arch:     ${part.Os}/${part.Arch}\n Kernel:      ${part.KernelVersion}\n Node:        ${part.NodeVersion}\n`)
  return Promise.resolve()
}
