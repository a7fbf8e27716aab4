export { commandLine, environment } from './command.js'
export { CONTAINER_NAMESPACES, compileExec, compileFoundation, compileSandbox, type Foundation, type SandboxInput } from './compile.js'
export { cgroupWrites } from './limits.js'
export { resolveUser, type Identity } from './user.js'
