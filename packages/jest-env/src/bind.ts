import type { Config, ContainerDecorator, Handle, HandleOf, Name, NamedUse, ServicesOf } from '@mayfly/core/worker'
import { container, type UseOptions } from './container.js'
import { withContainers, type ContainerTest } from './with-containers.js'

/** What a test file imports, with the names of one configuration. */
export interface Bound<S> {
  container: <const N extends Name<S>>(name: N, options?: UseOptions) => Handle<N, S> & ContainerDecorator<Handle<N, S>>
  withContainers: <const M extends Readonly<Record<string, NamedUse<S>>>>(map: M) => ContainerTest<{ [K in keyof M]: HandleOf<M[K], S> }>
}

/**
 * `container` and `withContainers` typed by a configuration that is named here, `bind<typeof config>()`: for a program with
 * several, of which `Register` can hold one. What a name means when the tests run, the `mayfly.config` nearest to them says.
 */
export function bind<C extends Config>(): Bound<ServicesOf<C>> {
  return { container, withContainers } as unknown as Bound<ServicesOf<C>>
}
