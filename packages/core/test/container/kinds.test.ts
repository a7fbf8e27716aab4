// What tells kinds of containers apart: a slot of a kind has carried out all but the program, and nothing compares that again.
import { describe, expect, test } from 'vitest'
import { fastestDriver } from '../../src/container/drivers.js'
import { OPTIONS } from '../../src/container/form.js'
import { kindKey, OUTSIDE } from '../../src/container/kinds.js'
import type { Resolved } from '../../src/container/resolve.js'
import { isSame, type Situation } from '../../src/container/setting.js'
import type { Image } from '../../src/images/index.js'
import { compileSetting, type SandboxInput } from '../../src/sandbox/index.js'

const image = { config: { Env: ['A=1'], Cmd: ['true'], Entrypoint: [], User: '', WorkingDir: '', Volumes: [], ExposedPorts: [], Labels: {} } } as unknown as Image
const key = (options: object): string | undefined => kindKey(image, fastestDriver, { options: options as Resolved['options'], networks: [], networkOf: undefined })
const setting = (options: object): Buffer => compileSetting({
  config: image.config, options, identity: { uid: 0, gid: 0, groups: [0], home: '/root' }, hostname: 'h', hosts: '', resolvConf: '', features: new Map(),
  rootfs: { driver: 'overlay', lowers: ['/l'], upper: '', work: '', tmpfsSize: 0, userxattr: false },
} as SandboxInput)

/** One value of each, unlike the default. */
const values: Readonly<Record<string, unknown>> = {
  command: ['x'], entrypoint: ['x'], env: { B: '2' }, init: true, labels: { a: 'b' }, name: 'x', ports: [80], loopback: true, hostPorts: [80],
  ready: { description: 'x', ready: () => undefined }, startTimeout: 1, signal: new AbortController().signal, stopSignal: 'SIGINT', healthcheck: { test: 'x' },
  pull: 'always', onPull: () => undefined, platform: 'linux/amd64', cpus: 1, cpuQuota: 1000, cpuPeriod: 1000, cpuShares: 2, pids: 5,
}

describe('kinds of containers', () => {
  test.each([...OUTSIDE])('%s is no part of what a kind shares', (name) => {
    expect(values).toHaveProperty(name)
    expect(setting({ [name]: values[name] }).equals(setting({}))).toBe(true)
    expect(key({ [name]: values[name] })).toBe(key({}))
  })

  test.each(OPTIONS.filter((name) => !OUTSIDE.has(name)))('%s makes another kind, or none', (name) => {
    expect(key({ [name]: 'x' })).not.toBe(key({}))
    expect(key({ [name]: undefined })).toBe(key({}))
  })

  test('a slot fits one place alone', () => {
    const place = { id: 'a', scratch: '/a', hostname: 'h', hosts: 'h', resolvConf: 'r', links: [] }
    const link = { name: 'eth0', mac: 1, address: 1, prefix: 8 } as unknown as NonNullable<Situation['links']>[number]
    expect(isSame(place, { ...place })).toBe(true)
    for (const other of [{ id: 'b' }, { scratch: '' }, { hostname: 'i' }, { hosts: '' }, { resolvConf: '' }, { links: [link] }]) expect(isSame(place, { ...place, ...other })).toBe(false)
  })

  test('other values make other kinds', () => {
    expect(key({ user: '1' })).not.toBe(key({ user: '2' }))
    expect(key({ capAdd: ['CHOWN'] })).not.toBe(key({ capDrop: ['CHOWN'] }))
    expect(setting({ user: '1', workdir: '/x' }).equals(setting({ user: '1' }))).toBe(false)
  })
})
