import { serverNameOf } from './database.js'
import type { Images } from './images.js'
import type { Journal } from './journal.js'
import type { Leases, Wish } from './leases.js'
import { poolKey } from './make.js'
import type { Places, Project } from './places.js'
import type { WarmPool } from './pool.js'

export interface Reloading {
  readonly places: Places
  readonly images: Images
  readonly leases: Leases
  readonly pool: WarmPool
  readonly journal: Journal
}

/**
 * Reads configurations again. What has changed in them, or in what a service is prepared from, is ended and begins anew when
 * somebody asks; all else goes on at its address. A configuration that cannot be read, or names an image that cannot be had,
 * changes nothing and throws.
 */
export async function reloadProjects({ places, images, leases, pool, journal }: Reloading, paths: readonly string[]): Promise<readonly Project[]> {
  const fresh = await Promise.all(paths.map(path => places.read(path)))
  for (const project of fresh) await images.ofAll(places.contained(project), project.path)
  for (const path of new Set([...places.known(), ...paths])) {
    const project = fresh.find(one => one.path === path)
    const changed = await places.replace(path, project)
    if (changed.length === 0) continue
    const names = new Set(changed.flatMap(name => [name, serverNameOf(name)]))
    const isOf = ({ config, name }: Pick<Wish, 'config' | 'name'>): boolean => config === path && names.has(name)
    await leases.end(({ wish }) => !isOf(wish))
    await Promise.all(changed.map(name => pool.drop(poolKey({ config: path, name }))))
    await places.forget(path, changed)
    for (const name of changed) journal.note({ event: 'changed', name })
  }
  return fresh
}
