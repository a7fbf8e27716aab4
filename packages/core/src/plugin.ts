/** What the plugins for test frameworks build on. Not for tests themselves: they import the plugin. */
export { isMayflyError, MayflyError } from './errors.js'
export {
  createHandle,
  currentRun,
  describeContainers,
  exportedVariables,
  findConfig,
  importModule,
  knownAddresses,
  launchRun,
  openSession,
  RUN_VARIABLE,
} from './services/index.js'
export type { Behind, Handle, HostOptions, LaunchedRun, Lease, Name, Registered, RunAddress, Scope, Session, Use } from './services/index.js'
