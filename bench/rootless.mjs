import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { makeOrdinary, withoutUser } from '../test/rootless/ordinary.mjs'

/**
 * Mayfly in a process of an ordinary user with subordinate ids: a contestant that is asked by lines on its standard input. What it
 * does is `program`, a module's text that has `once`, a function to milliseconds.
 */
export async function asOrdinaryUser(setting, program) {
  const absent = withoutUser()
  if (absent !== undefined) return { absent, close: () => undefined }
  const user = makeOrdinary({ ranges: true })
  const text = `${program}
    import { createInterface } from 'node:readline'
    for await (const line of createInterface({ input: process.stdin })) process.stdout.write(JSON.stringify(await once().then((took) => ({ took }), (error) => ({ error: String(error) }))) + '\\n')
    process.exit(0)`
  const { program: file, words, env } = user.command([process.execPath, '--input-type=module', '-e', text], { MAYFLY_REGISTRY_MIRROR: process.env.MAYFLY_REGISTRY_MIRROR, MAYFLY_OUTBOUND: 'off' })
  const child = spawn(file, words, { env, stdio: ['pipe', 'pipe', 'inherit'] })
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    once: async () => {
      child.stdin.write('\n')
      const { value, done } = await answers.next()
      if (done) throw new Error('the user\'s process ended')
      const { took, error } = JSON.parse(value)
      if (error !== undefined) throw new Error(error)
      return took
    },
    close: () => new Promise((resolve) => {
      child.once('close', () => { user.remove(); resolve() })
      child.stdin.end()
    }),
  }
}
