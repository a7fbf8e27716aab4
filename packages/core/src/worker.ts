/**
 * What the plugins need in the process of a test file: the way to the run's host and the handles, without the runtime.
 * It is loaded for every file where a framework isolates them. The other half is `plugin`.
 */
export type { Container, ExitStatus, Fault, Listening, PartitionOptions, Reached } from './container/types.js'
export { isMayflyError, MayflyError } from './errors.js'
// Not by the room's index, which leads to the runtime.
export { currentRun, exportedVariables, knownAddresses, openSession, RUN_VARIABLE, setVariables } from './services/client.js'
export { asDecorator, testMembers } from './services/decorator.js'
export { describeContainers, describeEnded, describeUnasked } from './services/failure.js'
export { createFileLeases } from './services/file-leases.js'
export { createHandle, tooLate } from './services/handle.js'
export { createTestContainer } from './services/test-container.js'
export { callerOf, thrownAt } from './services/stack.js'
export type { Caller } from './services/stack.js'
export { shownError } from './services/wire.js'
export { nearestWord } from './nearest.js'
export type { Behind, Config, ContainerDecorator, EndedContainer, FileLeases, Handle, HandleOf, Lease, Name, NamedUse, Registered, RunAddress, Scope, ServicesOf, Session, TestContainer, Until, Use, Variables } from './services/index.js'
