// What lists containers, without all that starts them.
export { containerLogs, findContainer, listContainers, stopContainer, type RunningListing } from './container/runs.js'
