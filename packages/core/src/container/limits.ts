import { METHOD, Reader, type Connection } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import type { CgroupWrite } from '../native/requests.js'
import { isMayflyError, MayflyError } from '../errors.js'
import { cgroupWrites, checkOptions, type Features, type LimitOptions } from '../sandbox/index.js'
import { checkForm } from './form.js'

/** Version 1's, either of which must not pass the other: the lower one's place is first when they shrink, last when they grow. */
const [MEMORY, BOTH] = ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes']

/**
 * The limits of a container that has `now` and shall have `next`, too: the two ways to say how much processor time it has
 * replace each other. Throws ERR_MAYFLY_OPTION_INVALID.
 */
export async function mergeLimits(now: LimitOptions, next: LimitOptions): Promise<LimitOptions> {
  await checkForm(next)
  const given = Object.fromEntries(Object.entries(next).filter(([, value]) => value !== undefined)) as LimitOptions
  const { cpus, cpuQuota, cpuPeriod, memorySwap, ...rest } = now
  const time = given.cpus === undefined ? { ...(given.cpuQuota === undefined && given.cpuPeriod === undefined ? { cpus } : {}), cpuQuota, cpuPeriod } : {}
  // A limit of both that was never asked for follows that of memory.
  const merged = { ...rest, ...time, ...(memorySwap === undefined ? {} : { memorySwap }), ...given }
  checkOptions(merged)
  return merged
}

/** Gives a running container other limits, all of them or none. Throws ERR_MAYFLY_LIMIT_UNSUPPORTED, ERR_MAYFLY_OUT_OF_MEMORY. */
export async function changeLimits(connection: Connection, features: Features, id: string, now: LimitOptions, next: LimitOptions): Promise<void> {
  const has = cgroupWrites(features, now)
  const changes = cgroupWrites(features, next).filter(({ file, value }) => !has.some((one) => one.file === file && one.value === value))
  const read = async ({ controller, file }: CgroupWrite): Promise<string> =>
    new Reader(await connection.request(METHOD.cgroupRead, new Writer().str(id).str(controller).str(file).take())).str().trim()
  const write = async ({ controller, file, value }: CgroupWrite): Promise<void> => {
    await connection.request(METHOD.cgroupWrite, new Writer().str(id).str(controller).str(file).str(value).take())
  }
  const before = await Promise.all(changes.map(async (change) => ({ ...change, value: await read(change) })))
  const grows = changes.some(({ file, value }, at) => file === BOTH && (value === '-1' || BigInt(value) > BigInt(before[at]?.value ?? 0)))
  const order = grows ? [...changes.keys()].sort((one, other) => Number(changes[one]?.file === MEMORY) - Number(changes[other]?.file === MEMORY)) : [...changes.keys()]
  const done: CgroupWrite[] = []
  try {
    for (const at of order) {
      const [change, was] = [changes[at], before[at]]
      if (change === undefined || was === undefined) continue
      await write(change)
      done.unshift(was)
    }
  } catch (error) {
    for (const was of done) await write(was).catch(() => undefined)
    throw explained(error)
  }
}

/** Version 1 refuses a limit below what is in use and cannot be given back. */
function explained(error: unknown): unknown {
  if (!isMayflyError(error) || error.details['errno'] !== 'EBUSY') return error
  return new MayflyError('ERR_MAYFLY_OUT_OF_MEMORY', 'The container uses more memory than that, and cannot give it back', { hint: 'Give it more, or have it use less.', cause: error })
}
