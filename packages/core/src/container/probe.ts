import { isMayflyError } from '../errors.js'
import { encodeExec, METHOD, type Connection } from '../native/index.js'
import { Operations } from '../sandbox/operations.js'
import { exitOf } from './process.js'

/**
 * Whether a path exists in a running container, links followed inside it. No program of the image is needed: a child
 * tries to make the path its directory, and what is there but no directory says so.
 */
export async function existsInside(connection: Pick<Connection, 'open'>, container: string, path: string): Promise<boolean> {
  const parent = path.replace(/\/+[^/]*\/*$/, '') || '/'
  const operations = new Operations().join().chdir(parent).chdir(path).leave()
  try {
    return await new Promise<boolean>((resolve, reject) => {
      const { reply } = connection.open(METHOD.exec, encodeExec(container, 0, 1, operations), {
        data: () => undefined,
        // One that was killed, most often with its container, has seen nothing.
        end: (error, payload) => { if (error === undefined) resolve(exitOf(payload).code === 0); else reject(error) },
      })
      reply.catch(reject)
    })
  } catch (error) {
    if (!isMayflyError(error) || error.details['operation'] !== 'chdir') throw error
    return error.details['errno'] === 'ENOTDIR' && error.details['path'] === path
  }
}
