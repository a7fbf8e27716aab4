import type { Image } from '../images/index.js'
import { containerPorts, exposed, parsePorts, type Protocol } from '../network/ports.js'
import type { RunOptions } from './types.js'

/** Whether its ports are reached through the machine's loopback, wherever they could be reached else. */
export function isOnLoopback({ loopback = false }: Pick<RunOptions, 'loopback'>): boolean {
  return loopback !== false
}

/** The TCP ports that the options name. */
export function optionPorts({ ports }: Pick<RunOptions, 'ports'>): number[] {
  return containerPorts(parsePorts(ports))
}

/** The ports that the image EXPOSEs. */
export function exposedPorts({ config }: Image, protocol: Protocol = 'tcp'): number[] {
  return exposed(config.ExposedPorts, protocol)
}
