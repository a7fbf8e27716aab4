const { container } = require('@mayfly/jest-env/test')

const store = container('store')

test('the shop keeps its things in Redis', async () => {
  expect((await store.exec(['redis-cli', 'ping'])).stdout).toBe('PONG\n')
  expect(process.env.STORE_URL).toMatch(/^redis:/)
})
