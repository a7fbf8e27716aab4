const { container } = require('@mayfly/jest-env/test')

container('store')

test('the mail\'s store is a web server', async () => {
  expect((await fetch(process.env.STORE_URL)).status).toBe(200)
})
