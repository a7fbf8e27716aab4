import fc from 'fast-check'
import { expect, test } from 'vitest'
import { containerPorts, exposed, parsePorts } from '../../src/network/ports.js'

const tcp = { protocol: 'tcp', address: '', wanted: undefined, flexible: false, published: false }

test.each([
  ['80', [{ ...tcp, container: 80 }]],
  [80, [{ ...tcp, container: 80 }]],
  ['53/udp', [{ ...tcp, container: 53, protocol: 'udp' }]],
  ['8080:80', [{ ...tcp, container: 80, wanted: { from: 8080, to: 8080 }, published: true }]],
  ['8080:80/TCP', [{ ...tcp, container: 80, wanted: { from: 8080, to: 8080 }, published: true }]],
  [':80', [{ ...tcp, container: 80, published: true }]],
  ['0:80', [{ ...tcp, container: 80, published: true }]],
  ['127.0.0.1:8080:80', [{ ...tcp, address: '127.0.0.1', container: 80, wanted: { from: 8080, to: 8080 }, published: true }]],
  ['127.0.0.1::80', [{ ...tcp, address: '127.0.0.1', container: 80, published: true }]],
  ['localhost:8080:80', [{ ...tcp, container: 80, wanted: { from: 8080, to: 8080 }, published: true }]],
  ['[::1]:8080:80', [{ ...tcp, address: '::1', container: 80, wanted: { from: 8080, to: 8080 }, published: true }]],
  ['8000-8010:80', [{ ...tcp, container: 80, wanted: { from: 8000, to: 8010 }, published: true }]],
  ['5000-5001:6000-6001/udp', [
    { ...tcp, container: 6000, protocol: 'udp', wanted: { from: 5000, to: 5000 }, published: true },
    { ...tcp, container: 6001, protocol: 'udp', wanted: { from: 5001, to: 5001 }, published: true },
  ]],
  ['5000-5001', [{ ...tcp, container: 5000 }, { ...tcp, container: 5001 }]],
  [{ container: 80, host: 0 }, [{ ...tcp, container: 80, published: true }]],
  [{ container: 80, host: '8000-8010' }, [{ ...tcp, container: 80, wanted: { from: 8000, to: 8010 }, published: true }]],
  [{ container: 80, preferred: 8080 }, [{ ...tcp, container: 80, wanted: { from: 8080, to: 8080 }, flexible: true, published: true }]],
  [{ container: 53, protocol: 'udp', address: '127.0.0.2' }, [{ ...tcp, container: 53, protocol: 'udp', address: '127.0.0.2', published: true }]],
] as const)('%j', (port, bindings) => {
  expect(parsePorts([port])).toEqual(bindings)
})

test.each([
  '', 'x', '80:', '65536', '0', '-80', '80:80:80', '1.2.3:80:80', '300.0.0.1:80:80', '127.0.0.1:80', '80/sctp', '80/', '5000-4000', '5000-5001:6000-6002', '[::g]:1:2',
  '::1:80:80', '8080:80/udp/tcp', ' 80', '80 ', '8080:80\n',
  1.5, 0, 65_536, Number.NaN, { container: 80, host: 99_999 }, { container: 80, host: 'x' }, { container: 80, host: 1, preferred: 2 }, { container: 80, address: 'here' },
  { container: 80, protocol: 'sctp' as 'tcp' },
])('%j is refused', (port) => {
  expect(() => parsePorts([port])).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID', message: expect.stringMatching(/^Invalid port /) as string }) as Error)
})

test('any text is understood or refused by name', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[\d:.[\]/-]{0,20}(tcp|udp)?$/)), (text) => {
    try {
      for (const { container } of parsePorts([text])) expect(container > 0 && container < 65_536).toBe(true)
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
    }
  }))
})

test('what an image declares', () => {
  const declared = ['80/tcp', '443', '53/udp', '8000-8002/tcp', '0/tcp', '99999', 'x', '5-3', '7/sctp']
  expect(exposed(declared, 'tcp')).toEqual([80, 443, 8000, 8001, 8002])
  expect(exposed(declared, 'udp')).toEqual([53])
  expect(containerPorts(parsePorts(['81:80', '80', '53/udp', 443]))).toEqual([80, 443])
})
