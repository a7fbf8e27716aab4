import { MayflyError } from '../errors.js'
import type { HttpWaitOptions, WaitContext, WaitStrategy } from './types.js'

/** When a container counts as ready. A wait ends at once when the container does. */
export const wait = {
  /** Something inside listens on each of the TCP ports. */
  port(...ports: number[]): WaitStrategy {
    return strategy(`port ${ports.join(', ')}`, async ({ listening }) => {
      await Promise.all(ports.map((port) => listening(port)))
    })
  },

  /** A log line matches, `times` times (default 1). Text is looked for as it stands. */
  log(pattern: RegExp | string, { times = 1 }: { readonly times?: number } = {}): WaitStrategy {
    return strategy(`log line ${String(pattern)}`, async ({ container, signal }) => {
      let seen = 0
      for await (const { text } of container.logs({ follow: true })) {
        if (typeof pattern === 'string' ? text.includes(pattern) : text.search(pattern) >= 0) seen += 1
        if (seen >= times) return
        if (signal.aborted) break
      }
      throw new MayflyError('ERR_MAYFLY_CONTAINER_EXITED', `The log ended without ${String(pattern)}`)
    })
  },

  /** A request is answered with the wanted status (default 200–399). */
  http(path: string, options: HttpWaitOptions = {}): WaitStrategy {
    return strategy(`http ${path}`, async (context) => {
      const port = options.port ?? context.ports[0] ?? context.exposed[0]
      if (port === undefined) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'wait.http needs a port')
      await context.listening(port)
      const url = new URL(path, `${context.container.urlOf(port)}/`)
      await poll(context.signal, () => answers(url, options, context.signal))
    })
  },

  /** A command inside ends with status 0. */
  exec(command: readonly string[]): WaitStrategy {
    return strategy(`command ${command.join(' ')}`, ({ container, signal }) =>
      poll(signal, async () => (await container.exec(command)).exitCode === 0))
  },

  /** The container ends with this status (default 0). */
  exit(code = 0): WaitStrategy {
    return {
      ...strategy(`exit with ${code}`, async ({ container }) => {
        const status = await container.exit
        if (status.code === code) return
        throw new MayflyError('ERR_MAYFLY_CONTAINER_EXITED', `The container ended with ${status.signal ?? status.code}, not ${code}`)
      }),
      acceptsExit: true,
    }
  },

  /** A file exists inside. */
  file(path: string): WaitStrategy {
    return strategy(`file ${path}`, ({ container, signal }) =>
      poll(signal, async () => (await container.exec(['test', '-e', path])).exitCode === 0))
  },

  /** All of them. */
  all(...strategies: WaitStrategy[]): WaitStrategy {
    return {
      ...strategy(strategies.map(({ description }) => description).join(' and '), async (context) => {
        await Promise.all(strategies.map((one) => one.ready(context)))
      }),
      acceptsExit: strategies.some((one) => one.acceptsExit === true),
    }
  },

  /** The first of them; it fails when all have failed. */
  any(...strategies: WaitStrategy[]): WaitStrategy {
    return {
      ...strategy(strategies.map(({ description }) => description).join(' or '), async (context) => {
        await Promise.any(strategies.map((one) => one.ready(context)))
      }),
      acceptsExit: strategies.some((one) => one.acceptsExit === true),
    }
  },

  /** A function of one's own, called until it answers true. Its errors count as false. */
  custom(check: (context: WaitContext) => Promise<boolean> | boolean, description = 'a condition'): WaitStrategy {
    return strategy(description, (context) => poll(context.signal, async () => {
      try {
        return await check(context)
      } catch {
        return false
      }
    }))
  },
}

function strategy(description: string, ready: (context: WaitContext) => Promise<void>): WaitStrategy {
  return { description, ready }
}

/** Asks again with steps that grow from 1 to 50 ms. */
async function poll(signal: AbortSignal, check: () => Promise<boolean>): Promise<void> {
  for (let step = 1; !signal.aborted; step = Math.min(50, step * 2)) {
    if (await check()) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, step)
      function done(): void {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      signal.addEventListener('abort', done, { once: true })
    })
  }
  throw new MayflyError('ERR_MAYFLY_ABORTED', 'The wait was given up')
}

async function answers(url: URL, options: HttpWaitOptions, signal: AbortSignal): Promise<boolean> {
  const { auth, status, body } = options
  const headers = new Headers(options.headers)
  if (auth !== undefined) headers.set('authorization', `Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString('base64')}`)
  try {
    const response = await fetch(url, { method: options.method ?? 'GET', headers, redirect: 'manual', signal })
    const text = await response.text()
    const fits = status === undefined ? response.status >= 200 && response.status < 400
      : typeof status === 'function' ? status(response.status)
        : typeof status === 'number' ? response.status === status : status.includes(response.status)
    return fits && (body === undefined || (typeof body === 'string' ? text.includes(body) : body.test(text)))
  } catch {
    return false
  }
}
