'use strict'

const { existsSync } = require('node:fs')
const { join } = require('node:path')

exports.version = require('./package.json').version

exports.nativeBinary = function nativeBinary() {
  const chosen = process.env.MAYFLY_NATIVE_PATH
  if (chosen !== undefined && chosen !== '') {
    if (existsSync(chosen)) return chosen
    throw coded('ERR_MAYFLY_NATIVE_MISSING', `MAYFLY_NATIVE_PATH names ${chosen}, which is not there`, 'Correct it, or unset it.')
  }
  if (process.platform !== 'linux') {
    throw coded(
      'ERR_MAYFLY_NOT_LINUX',
      `Mayfly runs containers with the Linux kernel; this is ${process.platform}`,
      'Run inside a Linux machine, a virtual machine or WSL 2.',
    )
  }
  const packaged = fromPlatformPackage(`@mayfly/native-linux-${process.arch}`)
  if (packaged !== undefined) return packaged
  const built = join(__dirname, 'build', 'mayfly-native')
  if (existsSync(built)) return built
  throw coded(
    'ERR_MAYFLY_NATIVE_MISSING',
    `There is no native program for linux-${process.arch}`,
    `Reinstall without --omit=optional, build it with 'node ${join(__dirname, 'build.mjs')}', or set MAYFLY_NATIVE_PATH.`,
  )
}

function fromPlatformPackage(name) {
  try {
    const file = join(require.resolve(`${name}/package.json`), '..', 'mayfly-native')
    return existsSync(file) ? file : undefined
  } catch {
    return undefined
  }
}

function coded(code, message, hint) {
  return Object.assign(new Error(message), { code, hint })
}
