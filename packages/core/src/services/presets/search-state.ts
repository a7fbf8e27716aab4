import { ask } from './tools.js'
import type { Server, StateKeeping } from './types.js'

/** The same in Elasticsearch and OpenSearch. */
const PORT = 9200
const STATE = 'mayfly-kept'

interface KeptIndices {
  readonly indices: Readonly<Record<string, { readonly aliases: object }>>
}

/**
 * Every index is cloned, which links its files and copies nothing; to go back, all are deleted and cloned again from those.
 * Templates, pipelines and settings of the cluster stay as they are. [Clone index API; it wants a source that is not written]
 */
export const searchState: StateKeeping = {
  beginsEmpty: true,
  keep: async server => {
    const names = (await indicesOf(server)).filter(name => !isOurs(name))
    const indices: Record<string, { readonly aliases: object }> = {}
    for (const name of names) {
      const found = await at(server, `/${encodeURIComponent(name)}/_alias`) as KeptIndices['indices']
      indices[name] = { aliases: found[name]?.aliases ?? {} }
      await clone(server, name, `${STATE}-${name}`, { settings: { 'index.hidden': true } })
      await at(server, `/${encodeURIComponent(name)}/_settings`, 'PUT', { 'index.blocks.write': null })
    }
    await at(server, `/${STATE}`, 'PUT', { settings: { index: { hidden: true, number_of_replicas: 0 } }, mappings: { enabled: false } })
    await at(server, `/${STATE}/_doc/state?refresh=true`, 'PUT', { indices })
  },
  restore: async server => {
    const all = await indicesOf(server)
    const used = all.filter(name => !isOurs(name))
    const kept = all.includes(STATE) ? (await at(server, `/${STATE}/_source/state`) as KeptIndices).indices : {}
    if (used.length > 0) await at(server, `/${used.map(encodeURIComponent).join(',')}`, 'DELETE')
    await Promise.all(Object.entries(kept).map(([name, { aliases }]) =>
      clone(server, `${STATE}-${name}`, name, { settings: { 'index.hidden': null, 'index.blocks.write': null }, aliases })))
  },
}

async function clone(server: Server, from: string, to: string, body: object): Promise<void> {
  await at(server, `/${encodeURIComponent(from)}/_settings`, 'PUT', { 'index.blocks.write': true })
  await at(server, `/${encodeURIComponent(from)}/_clone/${encodeURIComponent(to)}`, 'POST', body)
}

/** Those of the users: a dot begins the server's own. */
async function indicesOf(server: Server): Promise<readonly string[]> {
  const list = await at(server, '/_cat/indices?format=json&h=index&expand_wildcards=all') as readonly { readonly index: string }[]
  return list.map(({ index }) => index).filter(name => !name.startsWith('.'))
}

function isOurs(name: string): boolean {
  return name === STATE || name.startsWith(`${STATE}-`)
}

function at(server: Server, path: string, method = 'GET', body?: object): Promise<unknown> {
  return ask(server.container.urlOf(PORT), path, method, body)
}
