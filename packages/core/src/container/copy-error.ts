import { MayflyError, type ErrorCode } from '../errors.js'

/** What a copying process said, `ERRNO<tab>STEP<tab>PATH`, as an error. `where`: whose the path is; `what` failed. */
export function copyError(said: string, where: string, what: string): MayflyError {
  const [errno = '', step = '', ...rest] = said.split('\t')
  const path = rest.join('\t')
  const details = { errno, step, path, where }
  if (errno === 'ENOENT' && (step === 'open' || step === 'stat')) {
    return new MayflyError('ERR_MAYFLY_PATH_NOT_FOUND', `${where} has no ${path === '' ? 'such path' : path}`, { details })
  }
  const [code, hint] = kinds[errno] ?? ['ERR_MAYFLY_COPY_FAILED']
  // A reason of words is one; the kernel's are a call and its error's name.
  const why = /\s/.test(step) ? step : `${step}: ${errno}`
  return new MayflyError(code, `${what}: ${path === '' || path === '-' ? '' : `${path}: `}${why}`, { details, hint })
}

const kinds: Readonly<Record<string, readonly [ErrorCode, string?]>> = {
  ENOSPC: ['ERR_MAYFLY_DISK_FULL', 'Make room, or give the container a larger `storage`, or `scratch: \'disk\'`.'],
  EDQUOT: ['ERR_MAYFLY_DISK_FULL', 'The quota is used up.'],
  EROFS: ['ERR_MAYFLY_COPY_FAILED', 'It is mounted read-only; copy to a volume or a tmpfs of the container\'s.'],
  EACCES: ['ERR_MAYFLY_COPY_FAILED', 'This user may not.'],
}
