import { encodeExec, METHOD } from '../native/index.js'
import { compileWrite } from '../sandbox/index.js'
import type { Member } from './supervision.js'

/** Rewrites the hosts file of a running container, if it would change. One that is just ending has no need of it. */
export async function refreshHosts(member: Member): Promise<void> {
  member.refreshing = member.refreshing.then(async () => {
    const content = member.hosts()
    if (content === member.written) return
    if (await write(member, '/etc/hosts', content)) member.written = content
  })
  return member.refreshing
}

/** Whether a file of the container could be replaced. */
function write({ connection, id: container }: Member, target: string, content: string): Promise<boolean> {
  return new Promise((resolve) => {
    const { reply } = connection.open(METHOD.exec, encodeExec(container, 0, 1, compileWrite(target, 0o644, content)), {
      data: () => undefined,
      end: (error, payload) => resolve(error === undefined && payload !== undefined && payload.length >= 4 && payload.readInt32LE(0) === 0),
    })
    reply.catch(() => resolve(false))
  })
}
