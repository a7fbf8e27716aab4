import { run, wait } from '@mayfly/core'

const web = await run('httpd', { ready: wait.http('/', { port: 80 }) })
try {
  console.log(web.urlOf(80), (await web.fetch('/')).status)
} finally {
  await web.stop()
}
