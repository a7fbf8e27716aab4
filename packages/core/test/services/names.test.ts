import { expectTypeOf, test } from 'vitest'
import type { Container } from '../../src/container/types.js'
import { image, postgres } from '../../src/services/presets/index.js'
import { defineConfig } from '../../src/services/config.js'
import type { HttpContainer, PostgresContainer, RedisContainer } from '../../src/services/presets/index.js'
import type { Config, Handle, Name } from '../../src/services/types.js'

export const config = defineConfig({ services: { db: postgres({ scope: 'worker' }), own: image('team/own:1') } })
type S = typeof config extends Config<infer T> ? T : never

test('a name gives the service\'s handle, else the preset\'s, else a container', () => {
  expectTypeOf<Handle<'db', S>>().toEqualTypeOf<PostgresContainer>()
  expectTypeOf<Handle<'own', S>>().toEqualTypeOf<Container>()
  expectTypeOf<Handle<'httpd', S>>().toEqualTypeOf<HttpContainer>()
  expectTypeOf<Handle<'docker.io/library/redis:7', S>>().toEqualTypeOf<RedisContainer>()
  expectTypeOf<Handle<'busybox:1', S>>().toEqualTypeOf<Container>()
})

test('only services, presets and images are names', () => {
  expectTypeOf<'db'>().toExtend<Name<S>>()
  expectTypeOf<'redis'>().toExtend<Name<S>>()
  expectTypeOf<'team/own'>().toExtend<Name<S>>()
  expectTypeOf<'dbb'>().not.toExtend<Name<S>>()
})
