import { execFile } from 'node:child_process'
import { access, mkdir, rm } from 'node:fs/promises'
import { join, posix } from 'node:path'

import { MayflyError } from '../errors.js'

/** A git repository, and what of it. */
export interface GitReference {
  readonly url: string
  /** A branch, a tag, a full commit id or another reference; absent for the repository's HEAD. */
  readonly ref: string | undefined
  /** A directory in it, relative; '' for all of it. */
  readonly directory: string
}

/**
 * `https://host/repository.git#ref:directory`, the same with git, ssh and http, `git@host:path` and `github.com/…`; undefined
 * for what is none. [Docker build reference, "Git contexts"]
 */
export function gitReference(text: string): GitReference | undefined {
  const [location = '', fragment = ''] = text.split(/#(.*)/s)
  const url = /^github\.com\/[^/]+\/[^/]/.test(location) ? `https://${location}` : location
  const isGit = /^(?:git|ssh):\/\//.test(url) || /^[\w.-]+@[\w.-]+:/.test(url) || /^https?:\/\/[^?]+\.git\/?$/.test(url) || /^https:\/\/github\.com\/[^/]+\/[^/?]+$/.test(url)
  if (!isGit) return undefined
  const [ref = '', directory = ''] = fragment.split(/:(.*)/s)
  return { url, ref: ref === '' ? undefined : ref, directory: posix.normalize(`/${directory}`).slice(1) }
}

interface CloneOptions {
  /** Leave `.git` in it. */
  readonly keepGitDir: boolean
  /** The commit it must be, or the beginning of its id. */
  readonly checksum?: string | undefined
  readonly signal: AbortSignal
}

/**
 * Fetches a repository, one commit deep, into `directory`, which is made. By the machine's git, which has the user's
 * credentials. Throws ERR_MAYFLY_UNSUPPORTED where there is none, ERR_MAYFLY_BUILD_FAILED.
 */
export async function clone({ url, ref }: Pick<GitReference, 'url' | 'ref'>, directory: string, { keepGitDir, checksum, signal }: CloneOptions): Promise<void> {
  // What looks like a flag is no repository and no reference.
  if ([url, ref].some(word => word?.startsWith('-') === true)) throw new MayflyError('ERR_MAYFLY_BUILD_FAILED', `${url} is no git repository`)
  await mkdir(directory, { recursive: true, mode: 0o755 })
  const git = (...words: string[]): Promise<string> => run(words, directory, signal)
  await git('init', '--quiet')
  await git('remote', 'add', 'origin', url)
  await git('fetch', '--quiet', '--depth=1', '--no-tags', 'origin', ref ?? 'HEAD')
  await git('checkout', '--quiet', '--detach', 'FETCH_HEAD')
  if (await there(join(directory, '.gitmodules'))) await git('submodule', '--quiet', 'update', '--init', '--recursive', '--depth=1')
  const commit = (await git('rev-parse', 'HEAD')).trim()
  if (checksum !== undefined && !commit.startsWith(checksum)) {
    throw new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `${url} is at commit ${commit}, not ${checksum}`)
  }
  if (!keepGitDir) await rm(join(directory, '.git'), { recursive: true, force: true })
}

async function there(path: string): Promise<boolean> {
  return await access(path).then(() => true, () => false)
}

function run(words: readonly string[], cwd: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    // Nobody is there to be asked for a password; a repository brings no hooks, filters or transports of its own.
    const env = { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_ALLOW_PROTOCOL: 'https:http:ssh:git', GIT_DIR: undefined, GIT_WORK_TREE: undefined }
    execFile('git', ['-c', 'core.hooksPath=/dev/null', '-c', 'core.symlinks=true', ...words], { cwd, env, signal, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (error === null) return void resolve(stdout)
      if (signal.aborted) return void reject(new MayflyError('ERR_MAYFLY_ABORTED', 'The build was aborted', { cause: signal.reason }))
      if (error.code === 'ENOENT') {
        return void reject(new MayflyError('ERR_MAYFLY_UNSUPPORTED', 'Git repositories are fetched by the program git, which is not there', { cause: error, hint: 'Install git.' }))
      }
      reject(new MayflyError('ERR_MAYFLY_BUILD_FAILED', `git ${words[0] ?? ''} failed: ${stderr.trim() || error.message}`, { cause: error }))
    })
  })
}
