// Pulls an image into MAYFLY_HOME: says when it begins, and what came of it.
import { collectGarbage, openStore, parseReference, pullImage, verifyStore } from '@mayfly/core/engine'

const [name, then] = process.argv.slice(2)
const store = await openStore()
process.stdout.write('begins\n')
try {
  const { digest } = await pullImage(store, parseReference(name))
  process.stdout.write(`${JSON.stringify({ digest })}\n`)
} catch ({ code, message, hint }) {
  process.stdout.write(`${JSON.stringify({ code, message, hint })}\n`)
}
if (then !== undefined) {
  await collectGarbage(store)
  const second = await pullImage(store, parseReference(then)).then(({ digest }) => ({ digest }), ({ code, message }) => ({ code, message }))
  const { problems } = await verifyStore(store)
  process.stdout.write(`${JSON.stringify({ second, problems })}\n`)
}
