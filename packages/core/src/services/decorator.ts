import { MayflyError } from '../errors.js'

/**
 * What `container()` also is: a decorator of a class's member, which becomes the handle. The three forms are a standard
 * accessor, a standard field, and TypeScript's older `experimentalDecorators`.
 */
export interface ContainerDecorator<H> {
  <This>(target: ClassAccessorDecoratorTarget<This, H>, context: ClassAccessorDecoratorContext<This, H>): ClassAccessorDecoratorResult<This, H>
  <This>(target: undefined, context: ClassFieldDecoratorContext<This, H>): (this: This) => H
  <K extends PropertyKey, T extends { [P in K]: H }>(target: T, key: K): void
}

/** A container that every test of a fixtures class gets for itself. */
export interface TestMember {
  readonly key: PropertyKey
  readonly handle: object
}

/** The two things a decorated member can be. */
export interface Places<M extends TestMember> {
  /** A static member: one container for the file. */
  readonly file: object
  /** An instance member: one per test. */
  perTest(key: PropertyKey): M
}

const MEMBERS = new WeakMap<object, TestMember[]>()

/** `handle`, which can also be applied as decorator. A member's kind is known only then. */
export function asDecorator<H extends object, M extends TestMember>(handle: H, places: Places<M>): H & ContainerDecorator<H> {
  const apply = (...[target, context]: readonly unknown[]): unknown =>
    isStandard(context) ? standard(context, places) : legacy(target, context, places)
  return new Proxy(apply, {
    // Babel applies decorators by `call`.
    get: (target, key) => Reflect.get(key === 'call' || key === 'apply' || key === 'bind' ? target : handle, key) as unknown,
    has: (_, key) => Reflect.has(handle, key),
  }) as unknown as H & ContainerDecorator<H>
}

/** The members of an instance that are one per test, base classes' included. */
export function testMembers<M extends TestMember>(instance: object): readonly M[] {
  const members: M[] = []
  for (let at: object | null = instance; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    members.push(...((MEMBERS.get(at) ?? []) as M[]))
  }
  return members
}

interface Standard {
  readonly kind: string
  readonly name: PropertyKey
  readonly static: boolean
}

function isStandard(context: unknown): context is Standard {
  return typeof context === 'object' && context !== null && 'kind' in context
}

function standard({ kind, name, static: isStatic }: Standard, places: Places<TestMember>): unknown {
  if (kind !== 'accessor' && kind !== 'field') throw misplaced(`a ${kind}`)
  const member = isStatic ? undefined : places.perTest(name)
  const handle = member?.handle ?? places.file
  const note = (owner: object): object => {
    if (member !== undefined) remember(owner, member)
    return handle
  }
  if (kind === 'field') return function (this: object): object { return note(this) }
  return { get: () => handle, set: () => { throw fixed(name) }, init: function (this: object): object { return note(this) } }
}

/** The descriptor is both defined and returned: TypeScript and Babel each heed one of the two. */
function legacy(target: unknown, key: unknown, places: Places<TestMember>): PropertyDescriptor {
  if ((typeof target !== 'object' && typeof target !== 'function') || target === null || (typeof key !== 'string' && typeof key !== 'symbol')) {
    throw misplaced('this')
  }
  const member = typeof target === 'function' ? undefined : places.perTest(key)
  const handle = member?.handle ?? places.file
  if (member !== undefined) remember(target, member)
  const set = (value: unknown): void => { if (value !== undefined) throw fixed(key) }
  const descriptor = { get: () => handle, set, configurable: true, enumerable: true }
  Object.defineProperty(target, key, descriptor)
  return descriptor
}

function remember(owner: object, member: TestMember): void {
  MEMBERS.set(owner, [...(MEMBERS.get(owner) ?? []), member])
}

function misplaced(what: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `@container decorates members of a class, not ${what}`, {
    hint: 'Write: class Fixtures { @container(\'httpd\') accessor web!: HttpContainer }',
  })
}

function fixed(key: PropertyKey): MayflyError {
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `"${String(key)}" is decorated by @container and cannot be assigned`)
}
