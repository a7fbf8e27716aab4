import { createPublicKey, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto'
import { isIP } from 'node:net'

/** A certificate and its key, both PEM. */
export interface Certified {
  readonly certificate: string
  readonly key: string
}

export interface Authority extends Certified {
  /** Certifies a server of these names and addresses, or a client of this name. */
  certify(name: string, names?: readonly string[], days?: number): Certified
}

/** An authority of one's own, valid for a day. [RFC 5280] */
export function authority(name = 'an authority of a test'): Authority {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const certificate = certificateOf({ issuer: name, subject: name, publicKey, signer: privateKey, days: 1, extensions: [extension('55 1d 13', sequence(tlv(0x01, Buffer.of(0xff)))), extension('55 1d 0f', tlv(0x03, Buffer.of(1, 0x06)))] })
  return {
    certificate,
    key: pem(privateKey),
    certify: (subject, names = [], days = 1) => {
      const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const alternatives = names.map((one) => isIP(one) === 4 ? tlv(0x87, Buffer.from(one.split('.').map(Number))) : tlv(0x82, Buffer.from(one)))
      const extensions = alternatives.length === 0 ? [] : [extension('55 1d 11', sequence(...alternatives))]
      return { certificate: certificateOf({ issuer: name, subject, publicKey: own.publicKey, signer: privateKey, days, extensions }), key: pem(own.privateKey) }
    },
  }
}

interface Contents {
  readonly issuer: string
  readonly subject: string
  readonly publicKey: KeyObject
  readonly signer: KeyObject
  /** Negative: it has expired. */
  readonly days: number
  readonly extensions: readonly Buffer[]
}

function certificateOf({ issuer, subject, publicKey, signer, days, extensions }: Contents): string {
  const ecdsaWithSha256 = sequence(tlv(0x06, hex('2a 86 48 ce 3d 04 03 02')))
  const begin = Date.now() - 86_400_000 * 2
  const fields = sequence(
    tlv(0xa0, integer(Buffer.of(2))), integer(Buffer.concat([Buffer.of(1), randomBytes(8)])), ecdsaWithSha256, distinguishedName(issuer),
    sequence(utcTime(begin), utcTime(Date.now() + days * 86_400_000)), distinguishedName(subject),
    createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })).export({ type: 'spki', format: 'der' }),
    ...(extensions.length === 0 ? [] : [tlv(0xa3, sequence(...extensions))]),
  )
  const whole = sequence(fields, ecdsaWithSha256, tlv(0x03, Buffer.concat([Buffer.of(0), sign('sha256', fields, signer)])))
  return `-----BEGIN CERTIFICATE-----\n${whole.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
}

function distinguishedName(name: string): Buffer {
  return sequence(tlv(0x31, sequence(tlv(0x06, hex('55 04 03')), tlv(0x0c, Buffer.from(name)))))
}

function extension(id: string, value: Buffer): Buffer {
  return sequence(tlv(0x06, hex(id)), tlv(0x04, value))
}

function utcTime(time: number): Buffer {
  return tlv(0x17, Buffer.from(`${new Date(time).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`))
}

function integer(bytes: Buffer): Buffer {
  return tlv(0x02, bytes)
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tlv(0x30, Buffer.concat(parts))
}

function tlv(tag: number, content: Buffer): Buffer {
  const { length } = content
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex')
}

function pem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}
