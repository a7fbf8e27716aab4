import { mkdir } from 'node:fs/promises'
import { arch, release } from 'node:os'
import { join } from 'node:path'

import { isMayflyError } from '../errors.js'
import { listImages, openStore } from '../images/index.js'
import { encodeCreate, METHOD, privilege } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { endpointsFor, registrySettings } from '../registry/index.js'
import { NAMESPACES, Operations } from '../sandbox/operations.js'
import { driverAfter, fastestDriver, forcedDriver, type Driver, type DriverName } from './drivers.js'
import { openOutbound, type Outbound } from './outbound.js'
import { currentRun, type Run } from './supervision.js'

/** What this machine gives containers, found out by a run that tries. */
export interface Info {
  readonly version: string
  readonly kernel: string
  readonly architecture: string
  /** `root`, `user` with ids of its own, or `single` with one id. */
  readonly mode: 'root' | 'user' | 'single'
  readonly cgroup: string
  readonly controllers: readonly string[]
  /** What root file systems are made with. */
  readonly driver: DriverName
  /** Why faster drivers are not. */
  readonly refused: Readonly<Partial<Record<DriverName, string>>>
  /** Whether containers have addresses that this machine reaches; else their ports are on the loopback. */
  readonly addresses: boolean
  /** How containers get out of it, or why they do not. */
  readonly outbound: Outbound
  readonly home: string
  readonly images: number
  /** Who is asked for Docker Hub's images, in order. */
  readonly hub: readonly string[]
  /** Those of them that are mirrors, as Docker names them. */
  readonly mirrors: readonly string[]
  /** Registries that may be asked over plain HTTP, or with any certificate. */
  readonly insecure: readonly string[]
}

/** Starts a run if there is none. Throws what stands in a run's way. */
export async function info(): Promise<Info> {
  const run = await currentRun()
  const store = await openStore()
  const own = privilege()
  const { driver, refused } = await workingDriver(run)
  return {
    version: run.hello.version,
    kernel: release(),
    architecture: arch(),
    mode: own.mode === 'root' ? 'root' : own.map.lacking === undefined ? 'user' : 'single',
    cgroup: run.hello.features.get('cgroup') ?? 'none',
    controllers: (run.hello.features.get('controllers') ?? '').split(',').filter((name) => name !== ''),
    driver,
    refused,
    addresses: run.reachable,
    outbound: await openOutbound(run),
    home: store.home,
    images: (await listImages(store)).length,
    ...registries(),
  }
}

function registries(): Pick<Info, 'hub' | 'mirrors' | 'insecure'> {
  const { insecure, rules } = registrySettings()
  const places = endpointsFor({ registry: 'docker.io', repository: 'library' })
  const ruled = rules.flatMap((rule) => [rule, ...rule.mirrors]).flatMap((one) => one.insecure ? [one.location === '' && 'prefix' in one ? one.prefix : one.location] : [])
  return {
    hub: places.map(({ origin }) => origin),
    mirrors: places.flatMap(({ origin, repository, mirror }) => mirror ? [`${origin}/${repository.replace(/\/?library$/, '')}`] : []),
    insecure: [...new Set([...insecure, ...ruled, '::1/128', '127.0.0.0/8'])],
  }
}

/** Mounts nothing on nothing with each driver in turn, as a container would. */
async function workingDriver(run: Run): Promise<Pick<Info, 'driver' | 'refused'>> {
  const refused: Partial<Record<DriverName, string>> = {}
  const forced = forcedDriver(undefined)
  for (let driver: Driver = forced ?? fastestDriver; ;) {
    try {
      await tryOut(run, driver)
      return { driver: driver.name, refused }
    } catch (error) {
      const next = forced === undefined ? driverAfter(driver, error) : undefined
      if (next === undefined || !isMayflyError(error)) throw error
      refused[driver.name] = error.message
      driver = next
    }
  }
}

async function tryOut(run: Run, driver: Driver): Promise<void> {
  const id = `probe-${driver.name}`
  const scratch = join(run.dir, 'scratch', id)
  const lower = join(scratch, 'lower')
  await mkdir(lower, { recursive: true, mode: 0o700 })
  const rootfs = await driver.rootfs(run, id, [lower], driver.inMemory ? '' : scratch, 0)
  const request = encodeCreate({
    id, flags: 0, namespaces: NAMESPACES.mount | NAMESPACES.pid, pidOf: '', label: new Uint8Array(), scratch, cgroup: [], logCap: 0,
    operations: new Operations().rootfs(rootfs).await(),
  })
  try {
    await run.connection.request(METHOD.create, request)
  } finally {
    await run.connection.request(METHOD.remove, new Writer().str(id).take()).catch(() => undefined)
  }
}
