import { isMayflyError } from '../errors.js'
import { encodeExec, METHOD, type Connection } from '../native/index.js'
import { Operations } from '../sandbox/operations.js'

/**
 * Whether a path exists in a running container, links followed inside it. No program of the image is needed: a child
 * tries to make the path its directory, and what is there but no directory says so.
 */
export async function existsInside(connection: Connection, container: string, path: string): Promise<boolean> {
  const parent = path.replace(/\/+[^/]*\/*$/, '') || '/'
  const operations = new Operations().join().chdir(parent).chdir(path).leave()
  try {
    await new Promise<void>((resolve, reject) => {
      const { reply } = connection.open(METHOD.exec, encodeExec(container, 0, 1, operations), {
        data: () => undefined, end: (error) => { if (error === undefined) resolve(); else reject(error) },
      })
      reply.catch(reject)
    })
    return true
  } catch (error) {
    if (!isMayflyError(error) || error.details['operation'] !== 'chdir') throw error
    return error.details['errno'] === 'ENOTDIR' && error.details['path'] === path
  }
}
