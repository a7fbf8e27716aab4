import { isMayflyError } from '../errors.js'
import { METHOD } from '../native/index.js'
import type { Run } from './supervision.js'

/** How containers of a run get out, or why they do not. */
export type Outbound =
  /** Through the host, in its name. */
  | { readonly way: 'host' }
  | { readonly way: 'none'; readonly why: string; readonly mend: string }

/** Opens the run's way out once, when the first container that may use it starts. What is missing keeps no container from running. */
export function openOutbound(run: Run): Promise<Outbound> {
  run.outbound ??= open(run)
  return run.outbound
}

async function open({ connection, reachable }: Run): Promise<Outbound> {
  if (!reachable) return { way: 'none', why: 'An ordinary user\'s containers have no way out', mend: 'Run as root, or lend them a proxy of the test\'s own with reach().' }
  try {
    await connection.request(METHOD.outbound)
    return { way: 'host' }
  } catch (error) {
    const errno = isMayflyError(error) ? String(error.details['errno']) : 'unknown'
    if (errno === 'ENETDOWN') {
      return { way: 'none', why: 'This machine passes no packets on (net.ipv4.ip_forward is 0)', mend: 'sysctl -w net.ipv4.ip_forward=1' }
    }
    return { way: 'none', why: `This kernel masquerades nothing: nf_tables ${errno}`, mend: 'modprobe nf_tables nft_chain_nat nft_masq' }
  }
}
