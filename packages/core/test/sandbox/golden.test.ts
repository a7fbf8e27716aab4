// The operation list of Docker's defaults, byte for byte: what is in operations.txt is what the native program gets.
// After a wanted change: MAYFLY_GOLDEN=write vitest run packages/core/test/sandbox/golden, and read the difference.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

import { compileFoundation, compileSandbox, hostsFile, listOperations } from '../../src/sandbox/index.js'
import { Operations } from '../../src/sandbox/operations.js'

const GOLDEN = fileURLToPath(new URL('operations.txt', import.meta.url))
const features = new Map([['cgroup', 'v2'], ['controllers', 'cpu,memory,pids'], ['devices', 'bpf']])
const hostname = '0123456789ab'

test('Docker\'s defaults are these operations, and no others', () => {
  const foundation = compileFoundation({ network: { address: 0x0a590002, prefix: 24, gateway: 0x0a590001 }, options: {}, features }).part()
  const rest = compileSandbox({
    config: { Env: ['PATH=/usr/bin:/bin', 'LANG=C'], Cmd: ['httpd', '-DFOREGROUND'], Entrypoint: [], ExposedPorts: ['80/tcp'], Volumes: [], User: '', WorkingDir: '/srv', Labels: {} },
    options: {}, identity: { uid: 0, gid: 0, groups: [0, 1], home: '/root' }, hostname, features,
    rootfs: { driver: 'overlay', lowers: ['/layers/b', '/layers/a'], upper: '', work: '', tmpfsSize: 0, userxattr: false },
    hosts: hostsFile({ ip: '10.89.0.2', hostname }), resolvConf: 'nameserver 10.89.0.1\n',
  })
  const bytes = Buffer.concat([foundation, rest])
  const listed = `${listOperations(bytes)}# sha256 of ${bytes.length} bytes: ${createHash('sha256').update(bytes).digest('hex')}\n`
  if (process.env['MAYFLY_GOLDEN'] === 'write') writeFileSync(GOLDEN, listed)
  // The filter is for this processor alone.
  if (process.arch === 'x64') expect(listed).toBe(readFileSync(GOLDEN, 'utf8'))
})

test('what is no operation list is refused', () => {
  expect(() => listOperations(Buffer.from([200, 0, 0, 0, 0, 0, 0, 0]))).toThrow('no operation 200')
  expect(() => listOperations(new Operations().umask(0o22).part().subarray(0, 7))).toThrow(RangeError)
  const long = Buffer.concat([new Operations().loopback().part(), Buffer.from([1])])
  long.writeUInt32LE(1, 4)
  expect(() => listOperations(long)).toThrow('too many')
})
