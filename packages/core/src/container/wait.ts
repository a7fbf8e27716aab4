import { isError, MayflyError } from '../errors.js'
import { whatIsWrong } from './answer.js'
import type { HttpWaitOptions, Wait, WaitContext, WaitOnOptions, WaitStrategy } from './types.js'
import { poll, strategy } from './waiting.js'

/** When a container counts as ready. A wait ends at once when the container does. */
export const wait = {
  /** Something inside listens on each of the TCP ports. */
  port(...ports: number[]): Wait {
    return strategy(`port ${ports.join(', ')}`, async ({ listening }) => {
      await Promise.all(ports.map((port) => listening(port)))
    })
  },

  /** A log line matches, `times` times (default 1). Text is looked for as it stands. */
  log(pattern: RegExp | string, { times = 1 }: { readonly times?: number } = {}): Wait {
    return strategy(`log line ${String(pattern)}${times === 1 ? '' : `, ${times} times`}`, async ({ container, signal, saw }) => {
      if (!Number.isSafeInteger(times) || times < 1) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid times ${String(times)}: a whole number from 1`)
      let seen = 0
      for await (const { text } of container.logs({ follow: true, sinceStart: true })) {
        if (typeof pattern === 'string' ? text.includes(pattern) : text.search(pattern) >= 0) seen += 1
        if (seen >= times) return
        if (seen > 0) saw(`it came ${seen} of ${times} times`)
        if (signal.aborted) break
      }
      throw new MayflyError('ERR_MAYFLY_CONTAINER_EXITED', `The log ended without ${String(pattern)}`)
    })
  },

  /** A request is answered with the wanted status (default 200–399), headers and body. */
  http(path: string, options: HttpWaitOptions = {}): Wait {
    const scheme = options.tls === undefined || options.tls === false ? 'http' : 'https'
    return strategy(`${scheme} ${path}`, async (context) => {
      const port = options.port ?? context.ports[0] ?? context.exposed[0]
      if (port === undefined) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'wait.http needs a port')
      await context.listening(port)
      const url = new URL(path, `${context.container.urlOf(port, scheme)}/`)
      await poll(context.signal, async () => {
        const wrong = await whatIsWrong(url, options, context.signal)
        if (wrong !== undefined) context.saw(wrong)
        return wrong === undefined
      })
    })
  },

  /** A command inside ends with status 0. Text runs under `/bin/sh -c`. */
  exec(command: readonly string[] | string): Wait {
    const words = typeof command === 'string' ? ['/bin/sh', '-c', command] : command
    return strategy(`command ${typeof command === 'string' ? command : command.join(' ')}`, ({ container, signal, saw }) => poll(signal, async () => {
      const { exitCode, stdout, stderr } = await container.exec(words, { signal })
      if (exitCode !== 0) saw(`exit code ${exitCode}${`${stdout}${stderr}`.trim() === '' ? '' : `, ${JSON.stringify(`${stdout}${stderr}`.trim().slice(-200))}`}`)
      return exitCode === 0
    }))
  },

  /** The health check, the image's or `healthcheck`, says that it is well. Fails as soon as it says `unhealthy`. */
  healthy(): Wait {
    return strategy('its health check', async ({ container, healthy }) => {
      if (healthy === undefined) {
        throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${container.image} has no health check to wait for`, { hint: 'Give it one: `healthcheck`; or wait for a port, a log line or a command: wait.exec([...]).' })
      }
      if (await healthy() === 'unhealthy') throw new MayflyError('ERR_MAYFLY_UNHEALTHY', `${container.image} is unhealthy by its health check`)
    })
  },

  /** The container ends with this status (default 0). */
  exit(code = 0): Wait {
    return strategy(`exit with ${code}`, async ({ container }) => {
      const status = await container.exit
      if (status.code === code) return
      throw new MayflyError('ERR_MAYFLY_CONTAINER_EXITED', `The container ended with ${status.signal ?? status.code}, not ${code}`)
    }, true)
  },

  /** The container has done its work: it ended with 0. */
  completed(): Wait {
    return wait.exit(0)
  },

  /** Something exists inside at an absolute path. Needs no program of the image. */
  file(path: string): Wait {
    return strategy(`file ${path}`, ({ exists, signal }) => poll(signal, () => exists(path)))
  },

  /** A unix socket inside is listened at: its absolute path. */
  socket(path: string): Wait {
    return strategy(`unix socket ${path}`, ({ sockets, signal, saw }) => poll(signal, async () => {
      const found = await sockets()
      if (found.length > 0) saw(`sockets ${found.join(', ')}`)
      return found.some((one) => one.replace(/^\/var\/run\//, '/run/') === path.replace(/^\/var\/run\//, '/run/'))
    }))
  },

  /**
   * What the package wait-on waits for: `tcp:host:port`, `http-get://…`, `https-get://…`, `socket:/path`, seen from the test;
   * or a function that is given the container and names them.
   */
  on(resources: readonly string[] | ((container: WaitContext['container']) => readonly string[]), options: WaitOnOptions = {}): Wait {
    return strategy(typeof resources === 'function' ? 'what wait-on waits for' : resources.join(' and '), async (context) => {
      const { waitOn } = await import('./wait-on.js')
      await waitOn(typeof resources === 'function' ? resources(context.container) : resources, options, context)
    })
  },

  /** All of them. */
  all(...strategies: WaitStrategy[]): Wait {
    return strategy(strategies.map(({ description }) => description).join(' and '), async (context) => {
      await Promise.all(strategies.map((one) => one.ready(context)))
    }, strategies.some((one) => one.acceptsExit === true))
  },

  /** The first of them; it fails when all have failed. */
  any(...strategies: WaitStrategy[]): Wait {
    return strategy(strategies.map(({ description }) => description).join(' or '), async (context) => {
      const others = new AbortController()
      const end = (): void => others.abort('over')
      context.signal.addEventListener('abort', end, { once: true })
      try {
        await Promise.any(strategies.map((one) => one.ready({
          ...context, signal: others.signal, listening: (port, signal = others.signal) => context.listening(port, signal),
        })))
      } finally {
        context.signal.removeEventListener('abort', end)
        end()
      }
    }, strategies.some((one) => one.acceptsExit === true))
  },

  /** A function of one's own, called until it answers true. Its errors count as false. */
  custom(check: (context: WaitContext) => Promise<boolean> | boolean, description = 'a condition'): Wait {
    return strategy(description, (context) => poll(context.signal, async () => {
      try {
        return await check(context)
      } catch (error) {
        if (isError(error)) context.saw(error.message)
        return false
      }
    }))
  },
}
