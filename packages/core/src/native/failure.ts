import { constants } from 'node:os'

import { MayflyError, type ErrorCode } from '../errors.js'
import { Reader } from './bytes.js'

/** What the native program says about an operation that failed. */
export interface NativeFailure {
  /** `ENOENT` */
  readonly errno: string
  /** Place of the operation in its list, absent when no list was involved. */
  readonly index?: number
  readonly operation: string
  readonly path: string
  readonly step: string
}

const NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]))
const NO_INDEX = 0xffffffff

export function decodeFailure(payload: Buffer): NativeFailure {
  const reader = new Reader(payload)
  const number = reader.u32()
  const index = reader.u32()
  return {
    errno: NAMES.get(number) ?? `errno ${number}`,
    ...(index === NO_INDEX ? {} : { index }),
    operation: reader.str(),
    path: reader.str(),
    step: reader.str(),
  }
}

/** The error a caller gets for a native failure: a code of its own where the caller can do something about it. */
export function errorOf(failure: NativeFailure): MayflyError {
  const { errno, operation, path, step } = failure
  const details = { ...failure }
  if (operation === 'exec' && step !== 'not running') {
    if (errno === 'ENOENT') {
      return new MayflyError('ERR_MAYFLY_COMMAND_NOT_FOUND', `There is no command ${JSON.stringify(path)} in the container`, {
        details: { ...details, exitCode: 127 },
        hint: 'Check the command, or the image\'s ENTRYPOINT and CMD.',
      })
    }
    if (errno === 'EACCES' || errno === 'ENOEXEC' || errno === 'EISDIR') {
      return new MayflyError('ERR_MAYFLY_COMMAND_NOT_EXECUTABLE', `${JSON.stringify(path)} cannot be executed: ${errno}`, {
        details: { ...details, exitCode: 126 },
        hint: errno === 'EACCES' ? 'Give it the execute bit, or name the program that runs it first.'
          : 'It is no program for this machine: check the image\'s platform, or name the program that runs it first.',
      })
    }
  }
  if (operation === 'port.open' && errno === 'EADDRINUSE') {
    return new MayflyError('ERR_MAYFLY_ADDRESS_IN_USE', `Port ${path} of this machine is in use`, {
      details: { ...details, port: Number(path) }, hint: 'Choose another host port, or leave it out for a free one.',
    })
  }
  if (operation === 'scratch.save' && ['ENOSPC', 'EDQUOT', 'EIO', 'EROFS'].includes(errno)) {
    return new MayflyError('ERR_MAYFLY_STORE_FAILED', `The changes of a container could not be copied to the store: ${path}: ${errno}`, {
      details, hint: errno === 'ENOSPC' ? 'The disk is full.' : 'Look after the disk that holds the image store.',
    })
  }
  const option = optionOf(failure)
  if (option !== undefined) {
    return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${option}: ${errno}`, { details })
  }
  const [code, hint] = special(failure)
  const where = [operation, path, step].filter((part) => part !== '').join(' ')
  return new MayflyError(code, `The native program failed: ${where}: ${errno}`, { details, hint })
}

/** What of the caller's the kernel would not take, if it is that. */
function optionOf({ errno, operation, path, step }: NativeFailure): string | undefined {
  if (operation === 'mount.bind' && step === 'open_tree' && (errno === 'ENOENT' || errno === 'ENOTDIR')) {
    return `mounts: this machine has no ${path}, or had it only after the run began`
  }
  if (operation === 'sysctl' && step !== 'fsopen' && step !== 'fsmount') return `sysctls: the kernel does not take ${path.replaceAll('/', '.')}`
  if (operation === 'cgroup' && (errno === 'EINVAL' || errno === 'ERANGE' || errno === 'ENOSPC') && step !== 'join' && step !== 'name') {
    return `The kernel does not take ${step} for ${path}`
  }
  return undefined
}

/** Operations that put a container's first files where its changes go; others run out of numbers of things, not of room. */
const WRITES: ReadonlySet<string> = new Set(['file', 'mkdir', 'symlink', 'device', 'upper', 'work', 'rootfs.copy'])

function special({ errno, operation, path, step }: NativeFailure): [ErrorCode, string?] {
  if (operation === 'cgroup' && errno === 'EBUSY' && path === 'memory.limit_in_bytes') {
    return ['ERR_MAYFLY_OUT_OF_MEMORY', 'The memory limit is smaller than what starting any program takes: raise `memory`.']
  }
  if (WRITES.has(operation) && errno === 'ENOSPC') return ['ERR_MAYFLY_STORE_FAILED', 'The disk is full.']
  if (operation === 'time' || operation === 'init' && step === 'sealed copy') {
    return ['ERR_MAYFLY_UNSUPPORTED', `This machine has no ${operation === 'time' ? 'time namespaces' : 'sealed memory for init'} for Mayfly; leave the option out.`]
  }
  if (operation === 'enter' && errno === 'EPERM') return ['ERR_MAYFLY_UNPRIVILEGED', 'The host\'s namespace can be shared as root only.']
  if ((operation === 'enter' || operation === 'mount.peer') && errno === 'ESRCH') return ['ERR_MAYFLY_CONTAINER_NOT_FOUND']
  if (operation === 'port.open' && errno === 'EACCES') {
    return ['ERR_MAYFLY_UNPRIVILEGED', 'Ports below 1024 are root\'s: choose another, or lower the sysctl net.ipv4.ip_unprivileged_port_start.']
  }
  if ((operation === 'user' || operation === 'groups') && errno === 'EINVAL') {
    return ['ERR_MAYFLY_UNPRIVILEGED', 'The id lies beyond those lent to this user: enlarge its ranges in /etc/subuid and /etc/subgid.']
  }
  if (operation.startsWith('mount.') && errno === 'EPERM') return ['ERR_MAYFLY_UNPRIVILEGED', 'See what `mayfly doctor` says.']
  if (operation === 'resize' && errno === 'ENOTTY') return ['ERR_MAYFLY_OPTION_INVALID', 'It has no terminal: start it with `tty`.']
  if (operation === 'resize' && errno === 'ESRCH') return ['ERR_MAYFLY_NOT_RUNNING']
  if (operation === 'terminal') return ['ERR_MAYFLY_UNSUPPORTED', 'What the container has at /dev/pts gives no terminals.']
  if (operation === 'fault.add' && (errno === 'ENODEV' || step === 'bridge')) {
    return ['ERR_MAYFLY_UNSUPPORTED', 'It has no interface of its own on a network of Mayfly\'s, where faults could happen.']
  }
  if (operation === 'fault.add' && step === 'packet') return ['ERR_MAYFLY_UNSUPPORTED', 'The kernel gives Mayfly no packet sockets (CONFIG_PACKET).']
  if (operation === 'connections.reset' && step === 'SOCK_DESTROY') {
    return ['ERR_MAYFLY_UNSUPPORTED', 'The kernel ends nobody\'s connections (CONFIG_INET_DIAG_DESTROY); `faults.cut` breaks them with their next packet.']
  }
  if ((operation === 'fault.add' || operation === 'connections.reset' || operation === 'fill') && errno === 'ESRCH') return ['ERR_MAYFLY_NOT_RUNNING']
  if (step === 'no such container') return ['ERR_MAYFLY_CONTAINER_NOT_FOUND']
  if (operation === 'exec' && errno === 'ESRCH') return ['ERR_MAYFLY_NOT_RUNNING']
  if (operation === 'cgroup' && errno === 'ENODEV') {
    return ['ERR_MAYFLY_LIMIT_UNSUPPORTED', 'This machine does not let Mayfly use the cgroup controller; leave the limit out.']
  }
  return ['ERR_MAYFLY_NATIVE_FAILED']
}
