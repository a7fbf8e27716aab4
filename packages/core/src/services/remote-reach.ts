import type { Listening, Reached } from '../container/types.js'
import { placeOf, type Lease } from './client.js'

/** Lets a leased container reach a server of this process, until it is closed or the file is over. */
export async function reachFrom(lease: Lease, server: Listening): Promise<Reached> {
  const { id, ...found } = (await lease.call('reach', [placeOf(server)])) as { readonly id: number; readonly host: string; readonly port: number }
  const close = async (): Promise<void> => void (await lease.call('unreach', [id]))
  return { ...found, url: (scheme = 'http') => `${scheme}://${found.host}:${String(found.port)}`, close, [Symbol.asyncDispose]: close }
}
