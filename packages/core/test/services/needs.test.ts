import { expect, expectTypeOf, test } from 'vitest'
import { defineConfig } from '../../src/services/config.js'
import { insideOf, needsOf, withNeeds } from '../../src/services/needs.js'
import { image, kafka, postgres, PRESETS, redis } from '../../src/services/presets/index.js'
import { environmentOf, insideFactsOf } from '../../src/services/start.js'
import type { Service } from '../../src/services/types.js'

test('needs are services by value; one that is nowhere else is known by who needs it', () => {
  const broker = kafka()
  const registry = image('registry:1', { needs: { kafka: broker, db: postgres() } })
  const services = { broker, registry }
  expect(needsOf('registry', registry, services).map(({ key, name }) => [key, name])).toEqual([['kafka', 'broker'], ['db', 'registry.db']])
  expect(Object.keys(withNeeds(services, '/p/mayfly.config.ts'))).toEqual(['broker', 'registry', 'registry.db'])
})

test('a cycle is named', () => {
  const services: Record<string, Service> = {
    a: image('a:1', { needs: { get b(): Service { return services['b'] as Service } } }),
    b: image('b:1', { needs: { get a(): Service { return services['a'] as Service } } }),
  }
  expect(() => withNeeds(services, '/p/mayfly.config.ts')).toThrow(expect.objectContaining({
    code: 'ERR_MAYFLY_CONFIG_INVALID', message: '/p/mayfly.config.ts: "a" needs "b" needs "a"',
  }))
})

test('Kafka tells those that need it the name they know', () => {
  const broker = kafka()
  const inside = insideOf('broker', broker, { broker, registry: image('registry:1', { needs: { queue: broker } }) })
  expect(inside?.host).toBe('queue')
  const self = { host: 'h', port: (n: number): number => n + 1, ...(inside === undefined ? {} : { inside }) }
  expect(environmentOf(broker, { self })).toMatchObject({ KAFKA_ADVERTISED_LISTENERS: 'PLAINTEXT://h:9093,INSIDE://queue:19092' })
  expect(insideFactsOf(broker, { host: 'queue', port: n => n }, { self })).toEqual({ bootstrap: 'queue:19092' })
  expect(insideOf('broker', broker, { broker })).toBeUndefined()
})

test('what is needed is typed, with its facts outside and inside', () => {
  const broker = kafka()
  const cache = redis()
  defineConfig({
    services: {
      registry: image('registry:1', {
        needs: { broker, cache },
        env: (self, needs) => {
          expectTypeOf(self.port(1)).toEqualTypeOf<number>()
          expectTypeOf(needs.broker.inside.bootstrap).toEqualTypeOf<string>()
          expectTypeOf(needs.cache.inside.port(6379)).toEqualTypeOf<number>()
          expectTypeOf(needs.cache.url).toEqualTypeOf<string>()
          // @ts-expect-error -- a container that env is only told of has no exec
          expect(needs.cache.exec).toBeUndefined()
          // @ts-expect-error -- there is no such need
          expect(needs.db).toBeUndefined()
          return {}
        },
      }),
    },
  })
})

test('every database knows how to go back to its prepared state, and others as far as they let one, and clones leave their pids behind', () => {
  const resettable = Object.entries(PRESETS).filter(([, { state }]) => state?.keep !== undefined).map(([name]) => name)
  expect(resettable.sort()).toEqual(['elasticsearch', 'kafka', 'keycloak', 'mariadb', 'minio', 'mongodb', 'mysql', 'opensearch', 'postgres', 'rabbitmq', 'redis', 'valkey'])
  expect(Object.entries(PRESETS).filter(([, { databases }]) => databases !== undefined).map(([name]) => name).sort()).toEqual(['mariadb', 'mysql', 'postgres', 'redis', 'valkey'])
  for (const name of ['postgres', 'mariadb', 'mysql', 'mongodb', 'rabbitmq'] as const) expect([name, PRESETS[name].clear?.length]).toEqual([name, 1])
})
