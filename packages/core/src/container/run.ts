import type { AllEventOptions, Container, ContainerEvent, CreatedContainer, Listening, Network, NetworkOptions, Reached, RunOptions, Snapshot, Volume, VolumeOptions } from './types.js'

let engine: Promise<typeof import('./start.js')> | undefined

/**
 * Makes a private network. It ends with its disposal, or with this process.
 *
 * Throws ERR_MAYFLY_OPTION_INVALID, ERR_MAYFLY_NAME_IN_USE, ERR_MAYFLY_UNSUPPORTED when no addresses are left.
 */
export async function network(options: NetworkOptions = {}): Promise<Network> {
  return (await import('./network.js')).createNetwork(options)
}

/**
 * Makes a volume, or takes up the one of that name. One without a name goes with its disposal; others stay until they are
 * removed. Throws ERR_MAYFLY_OPTION_INVALID.
 */
export async function volume(options: VolumeOptions = {}): Promise<Volume> {
  return (await import('./volumes.js')).createVolume(options)
}

/**
 * Lets every container of this process reach a server of this machine, as `host.mayfly.internal` under its own port.
 * Nothing else of the machine's loopback is reached. Throws ERR_MAYFLY_OPTION_INVALID when it does not listen.
 */
export async function reach(server: Listening): Promise<Reached> {
  return (await import('./reach.js')).reachRun(server)
}

/**
 * Starts a container and waits until it is ready. The image is pulled when it is missing. The container dies with this
 * process at the latest.
 *
 * Throws ERR_MAYFLY_IMAGE_NOT_FOUND, ERR_MAYFLY_COMMAND_NOT_FOUND, ERR_MAYFLY_CONTAINER_EXITED,
 * ERR_MAYFLY_TIMEOUT, ERR_MAYFLY_OPTION_INVALID, ERR_MAYFLY_UNPRIVILEGED, ERR_MAYFLY_NOT_LINUX among others.
 */
export async function run(image: string, options: RunOptions = {}): Promise<Container> {
  // Loaded at the first use, so that importing the package costs next to nothing.
  engine ??= load()
  return (await engine).start(image, options)
}

/**
 * Makes a container without starting its program: files are copied into it first. The image is pulled when it is missing.
 * It goes with its disposal, or with this process.
 *
 * Throws what `run` throws before a program runs.
 */
export async function create(image: string, options: RunOptions = {}): Promise<CreatedContainer> {
  engine ??= load()
  return (await engine).createOnly(image, options)
}

/** What happens to the containers of this process, or of all of this user's, from the first read on, until `signal` ends it. */
export async function* events(options: AllEventOptions = {}): AsyncGenerator<ContainerEvent> {
  yield* (await import('./events.js')).runEvents(options)
}

/** Starts what the first `run()` starts: whoever knows that one will come saves it the wait. What fails is told by `run()`. */
export async function warmUp(): Promise<void> {
  engine ??= load()
  await engine
}

/** The supervisor starts and prepares a place while the rest is still being read. Who starts says what went wrong. */
async function load(): Promise<typeof import('./start.js')> {
  const { currentRun } = await import('./supervision.js')
  currentRun().catch(() => undefined)
  return import('./start.js')
}

/**
 * A snapshot that was kept under this key, by this process or an earlier one; undefined when there is none, or it is
 * damaged. Its containers run with `options`.
 */
export async function openSnapshot(key: string, options: RunOptions = {}): Promise<Snapshot | undefined> {
  const [snapshots, { startImage }] = await Promise.all([import('./snapshot.js'), import('./start.js')])
  return snapshots.openSnapshot(key, options, startImage)
}

/** Work that only one process of this user does at a time; others wait. */
export async function alone<T>(name: string, work: () => Promise<T>): Promise<T> {
  const [{ lockFile }, { openStore }, { join }] = await Promise.all([import('../layers/index.js'), import('../images/index.js'), import('node:path')])
  const lock = await lockFile(join((await openStore()).home, 'locks', name))
  try {
    return await work()
  } finally {
    await lock.release()
  }
}
