const { container } = require('@mayfly/jest-env/test')
const { Redis } = require('./resp.js')

const cache = container('redis')
let redis

beforeAll(async () => {
  redis = await Redis.connect(cache.host, cache.port(6379))
})
afterAll(() => redis.close())

test('a value comes back', async () => {
  expect(await redis.send('SET', 'greeting', 'hello')).toBe('OK')
  expect(await redis.send('GET', 'greeting')).toBe('hello')
})

test('counters count', async () => {
  await redis.send('INCR', 'visits')
  expect(await redis.send('INCR', 'visits')).toBe(2)
})
