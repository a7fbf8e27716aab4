// Starts a container as whoever this process is, and prints what came of it.
import { run } from '@mayfly/core'

try {
  const container = await run('busybox', { command: ['sleep', '60'] })
  process.stdout.write(JSON.stringify({ started: container.id }))
} catch (error) {
  const { code, message, hint } = error
  process.stdout.write(JSON.stringify({ code, message, hint }))
}
