import type { Image } from '../images/index.js'
import type { RunOptions } from './types.js'

/** An image's settings with those a container was started with. */
export function settingsOf({ config }: Image, { env, command, entrypoint, user, workdir, labels, stopSignal }: RunOptions): Readonly<Record<string, unknown>> {
  const names = new Set(Object.keys(env ?? {}))
  const listed = (value: readonly string[] | string | undefined): readonly string[] | undefined => (typeof value === 'string' ? ['/bin/sh', '-c', value] : value)
  const { ExposedPorts, Volumes, ...rest } = config
  return {
    ...rest,
    ...(ExposedPorts.length === 0 ? {} : { ExposedPorts: Object.fromEntries(ExposedPorts.map((port) => [port, {}])) }),
    ...(Volumes.length === 0 ? {} : { Volumes: Object.fromEntries(Volumes.map((path) => [path, {}])) }),
    Env: [...config.Env.filter((pair) => !names.has(pair.slice(0, pair.indexOf('=')))), ...Object.entries(env ?? {}).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]))],
    ...(entrypoint === undefined ? {} : { Entrypoint: listed(entrypoint), Cmd: [] }),
    ...(command === undefined ? {} : { Cmd: listed(command) }),
    ...(user === undefined ? {} : { User: user }),
    ...(workdir === undefined ? {} : { WorkingDir: workdir }),
    ...(stopSignal === undefined ? {} : { StopSignal: String(stopSignal) }),
    Labels: { ...config.Labels, ...labels },
  }
}
