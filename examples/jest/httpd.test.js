/**
 * @container httpd
 */
const { container } = require('@mayfly/jest-env/test')

const web = container('httpd')

test('httpd answers a real HTTP request', async () => {
  const answer = await web.fetch('/')
  expect(answer.status).toBe(200)
  expect(await answer.text()).toContain('It works!')
})

test('the page is the one in the container', async () => {
  const { stdout } = await web.exec(['cat', '/usr/local/apache2/htdocs/index.html'])
  expect(await (await fetch(web.url)).text()).toBe(stdout)
})
