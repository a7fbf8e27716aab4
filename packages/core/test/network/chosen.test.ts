import { expect, test } from 'vitest'
import { addressesOf, chooseSubnet, chosenAddress, parseRoutes, parseSubnet, refuseOverlap } from '../../src/network/chosen.js'
import { formatAddress } from '../../src/network/addresses.js'

const IN_USE = 'ERR_MAYFLY_ADDRESS_IN_USE'
const codeOf = (work: () => unknown): string | undefined => {
  try {
    work()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code
  }
}

test.each([
  [{ subnet: '172.28.0.1/16' }, 'it begins within one'],
  [{ subnet: '172.28.0.0' }, 'Invalid subnet'],
  [{ subnet: '172.28.0.0/33' }, 'Invalid subnet'],
  [{ subnet: 'fd00::/64' }, 'Invalid subnet'],
  [{ subnet: '300.0.0.0/8' }, 'no IPv4 address'],
  [{ subnet: '10.0.0.0/31' }, 'room for nobody'],
  [{ subnet: '0.0.0.0/0' }, 'too many'],
  [{ subnet: '127.0.0.0/16' }, 'no network'],
  [{ subnet: '239.0.0.0/16' }, 'no network'],
  [{ subnet: '198.18.4.0/24' }, 'Mayfly itself'],
  [{ gateway: '10.0.0.1' }, 'gateway without subnet'],
  [{ ipRange: '10.0.0.0/24' }, 'ipRange without subnet'],
  [{ subnet: '10.0.0.0/24', gateway: '10.0.1.1' }, 'Invalid gateway'],
  [{ subnet: '10.0.0.0/24', gateway: '10.0.0.255' }, 'Invalid gateway'],
  [{ subnet: '10.0.0.0/24', ipRange: '10.0.1.0/25' }, 'not in 10.0.0.0/24'],
  [{ subnet: '10.0.0.0/24', ipRange: '10.0.0.0/16' }, 'not in 10.0.0.0/24'],
])('%j is refused: %s', (wish, why) => {
  expect(() => chooseSubnet(wish)).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID', message: expect.stringContaining(why) as string }))
})

test('addresses come from the range, never the gateway, the subnet\'s own or everybody\'s; each once', () => {
  const all = (wish: Parameters<typeof chooseSubnet>[0]): string[] => {
    const chosen = chooseSubnet(wish)
    const addresses = chosen === undefined ? undefined : addressesOf(chosen)
    const taken: string[] = []
    while (codeOf(() => addresses === undefined ? undefined : taken.push(formatAddress(addresses.take()))) === undefined && taken.length < 50) continue
    return taken
  }
  expect(chooseSubnet({})).toBeUndefined()
  expect(all({ subnet: '10.0.0.0/29' })).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'])
  expect(all({ subnet: '10.0.0.0/29', gateway: '10.0.0.4' })).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.5', '10.0.0.6'])
  expect(all({ subnet: '10.0.0.0/24', ipRange: '10.0.0.0/30' })).toEqual(['10.0.0.2', '10.0.0.3'])
  expect(all({ subnet: '10.0.0.0/24', ipRange: '10.0.0.252/30' })).toEqual(['10.0.0.252', '10.0.0.253', '10.0.0.254'])
  expect(all({ subnet: '10.0.0.0/24', ipRange: '10.0.0.7/32' })).toEqual(['10.0.0.7'])
})

test('an address of one\'s own may lie outside of the range, not of the subnet, and is given out to nobody else', () => {
  const chosen = chooseSubnet({ subnet: '10.0.0.0/24', ipRange: '10.0.0.4/30' })
  if (chosen === undefined) throw new Error('nothing chosen')
  const addresses = addressesOf(chosen)
  for (const ip of ['10.0.0.99', '10.0.0.4']) addresses.claim(chosenAddress(ip, chosen))
  expect(codeOf(() => addresses.claim(chosenAddress('10.0.0.99', chosen)))).toBe(IN_USE)
  expect(codeOf(() => addresses.claim(chosenAddress('10.0.0.1', chosen)))).toBe(IN_USE)
  expect(formatAddress(addresses.take())).toBe('10.0.0.5')
  for (const ip of ['10.0.1.1', '10.0.0.0', '10.0.0.255', 'db']) expect(codeOf(() => chosenAddress(ip, chosen))).toBe('ERR_MAYFLY_OPTION_INVALID')
})

const ROUTES = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
tun0\t0000000A\t010200C0\t0003\t0\t0\t0\t000000FF\t0\t0\t0
tun0\t00000000\t010200C0\t0003\t0\t0\t0\t00000080\t0\t0\t0
`

test('a subnet that others have is refused: another network, a neighbour of the machine\'s, a route as narrow', () => {
  const routes = parseRoutes(ROUTES)
  expect(routes.map(({ prefix, direct }) => [prefix, direct])).toEqual([[0, false], [24, true], [8, false], [1, false]])
  const others = [{ name: 'front', subnet: parseSubnet('172.28.0.0/16') }]
  const outcome = (text: string): string | undefined => codeOf(() => refuseOverlap(parseSubnet(text), others, routes))
  for (const text of ['172.28.0.0/16', '172.28.4.0/24', '172.16.0.0/12', '192.0.2.0/24', '192.0.2.128/25', '192.0.0.0/16', '10.0.0.0/8']) expect([text, outcome(text)]).toEqual([text, IN_USE])
  for (const text of ['172.29.0.0/16', '192.168.0.0/24', '10.5.0.0/16']) expect([text, outcome(text)]).toEqual([text, undefined])
})
