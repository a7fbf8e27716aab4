// Pulls an image into MAYFLY_HOME: `begun` once the library is loaded, and when a line has come in: `digest …`, or the error's code and
// hint and what is then wrong with the store.
import { once } from 'node:events'
import { openStore, parseReference, pullImage, verifyStore } from '@mayfly/core/engine'

const store = await openStore()
process.stdout.write('begun\n')
await once(process.stdin, 'data')
process.stdin.destroy()
try {
  const { digest } = await pullImage(store, parseReference(process.argv[2]), { policy: process.argv[3] ?? 'missing' })
  process.stdout.write(`digest ${digest}\n`)
} catch (error) {
  const { problems } = await verifyStore(store)
  process.stdout.write(`${error.code} ${error.hint ?? ''} ${problems.length} problems\n`)
}
