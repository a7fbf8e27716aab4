import { appendFile } from 'node:fs/promises'
import type { FoundImage } from '../container/index.js'
import type { Container } from '../container/types.js'
import type { Address } from './addresses.js'

/** A line of the trace: an image became available to the run, or a container to the tests. Times are milliseconds. */
export type TraceLine =
  | {
    readonly event: 'image'
    /** `registry/repository:tag` */
    readonly image: string
    readonly digest: string
    /** `store`: it was there already. */
    readonly from: 'registry' | 'store'
    /** The registry or mirror that served it, now or when it was pulled. */
    readonly origin: string
    readonly ms: number
  }
  | {
    readonly event: 'ready'
    /** What the tests call it. */
    readonly name: string
    readonly slot: number
    readonly image: string
    readonly container: string
    /** `pool`: it had been started ahead. */
    readonly from: Source
    /** Counted from the image's presence. */
    readonly ms: number
    readonly host: string
    /** Numbers at `host`, by the container's port. */
    readonly ports: Readonly<Record<string, number>>
  }

export async function tracePull({ reference, digest, origin, pulledAt }: FoundImage, began: number): Promise<void> {
  const from = pulledAt >= began ? 'registry' : 'store'
  await write({ event: 'image', image: reference, digest, from, origin, ms: Date.now() - began })
}

/** Where an instance came from. */
export type Source = 'image' | 'snapshot' | 'pool'

export interface Start {
  readonly source: Source
  readonly name: string
  readonly slot: number
  readonly image: FoundImage
  readonly began: number
  readonly container: Container
  readonly address: Address
}

export async function traceStart({ source, name, slot, image, began, container, address: { host, ports } }: Start): Promise<void> {
  await write({ event: 'ready', from: source, name, slot, image: image.reference, container: container.id, ms: Math.round(performance.now() - began), host, ports })
}

/** Appends to the file that MAYFLY_TRACE_FILE names, line by line JSON. Without one, does nothing. */
async function write(line: TraceLine): Promise<void> {
  const path = process.env['MAYFLY_TRACE_FILE']
  if (path !== undefined && path !== '') await appendFile(path, `${JSON.stringify(line)}\n`)
}
