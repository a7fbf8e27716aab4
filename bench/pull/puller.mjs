// A process that has the library loaded and pulls when it is told to: { image, times } → milliseconds of each.
import { openStore, parseReference, pullImage } from '@mayfly/core/engine'

const store = await openStore()
await import('undici')
process.on('message', async ({ image, times = 1 }) => {
  const took = []
  for (let at = 0; at < times; at += 1) {
    const began = performance.now()
    await pullImage(store, parseReference(image), { policy: 'always' })
    took.push(performance.now() - began)
  }
  process.send({ took })
})
process.send('ready')
