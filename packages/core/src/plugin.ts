/** What the plugins for test frameworks build on. Not for tests themselves: they import the plugin. */
export type { Container, ExitStatus, Fault, Listening, Reached } from './container/types.js'
export { isMayflyError, MayflyError } from './errors.js'
export {
  asDecorator,
  cacheKey,
  configOf,
  createFileLeases,
  createHandle,
  createTestContainer,
  currentRun,
  describeContainers,
  describeEnded,
  describeRun,
  exportedVariables,
  findConfig,
  imagesOf,
  importModule,
  knownAddresses,
  launchOrSkip,
  launchRun,
  nearestWord,
  openSession,
  RUN_VARIABLE,
  setVariables,
  shownError,
  testMembers,
} from './services/index.js'
export type { Behind, ContainerDecorator, EndedContainer, FileLeases, Handle, HandleOf, HostOptions, LaunchedRun, Lease, Name, NamedUse, Registered, RunAddress, RunSummary, Scope, Session, TestContainer, Until, Use, Variables } from './services/index.js'
