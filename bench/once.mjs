/** Waits for nothing: the start is over when the program is executed. */
export const executed = { description: 'nothing', acceptsExit: true, ready: async () => undefined }

/** A container of busybox from `run()` to its exec, in milliseconds. @param {typeof import('@mayfly/core').run} run */
export async function startOnce(run) {
  const began = performance.now()
  const container = await run('busybox', { command: ['sleep', '60'], ready: executed })
  const took = performance.now() - began
  await container[Symbol.asyncDispose]()
  return took
}
