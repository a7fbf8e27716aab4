// A process of its own that runs a container with a limit, says which run it is, and waits to be killed.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '@mayfly/core/engine'

await run('busybox', { command: ['sleep', '1000'], memory: '64m' })
const runs = join(process.env.MAYFLY_HOME, 'runs')
const mine = readdirSync(runs).find((name) => JSON.parse(readFileSync(join(runs, name, 'run.json'))).pid === process.pid)
process.stdout.write(`${mine}\n`)
setInterval(() => undefined, 1000)
