import { nearestWord } from '../../nearest.js'
import type { Reading } from './instructions.js'
import type { RunMount } from './types.js'
import type { Flag } from './words.js'

const OPTIONS: Readonly<Record<RunMount['type'], readonly string[]>> = {
  bind: ['target', 'source', 'from', 'readonly', 'readwrite'],
  cache: ['id', 'target', 'readonly', 'readwrite', 'sharing', 'from', 'source', 'mode', 'uid', 'gid'],
  tmpfs: ['target', 'size'],
  secret: ['id', 'target', 'required', 'mode', 'uid', 'gid', 'env'],
  ssh: ['id', 'target', 'required', 'mode', 'uid', 'gid'],
}
const OTHER_NAMES: Readonly<Record<string, string>> = { dst: 'target', destination: 'target', src: 'source', ro: 'readonly', rw: 'readwrite' }

/** `--mount=type=…,target=…`. [Dockerfile reference, "RUN --mount"] */
export function readMount({ refuse }: Reading, { value = '', offset }: Flag): RunMount {
  const options: Record<string, string> = {}
  let type: string = 'bind'
  for (const field of value.replace(/^(["'])([^]*)\1$/, '$2').split(',')) {
    const equals = field.indexOf('=')
    const given = (equals < 0 ? field : field.slice(0, equals)).trim().toLowerCase()
    const name = OTHER_NAMES[given] ?? given
    const content = equals < 0 ? 'true' : field.slice(equals + 1)
    if (name === 'type') type = content.toLowerCase()
    else options[name] = content
  }
  if (!isType(type)) throw refuse(offset, `--mount has no type "${type}"`, `Its types are ${Object.keys(OPTIONS).join(', ')}.`)
  const unknown = Object.keys(options).find(name => !OPTIONS[type].includes(name))
  if (unknown !== undefined) {
    const near = nearestWord(unknown, OPTIONS[type])
    throw refuse(offset, `a ${type} mount has no option "${unknown}"`, near === undefined ? `It knows ${OPTIONS[type].join(', ')}.` : `Did you mean ${near}?`)
  }
  if (options['target'] === undefined && type !== 'secret' && type !== 'ssh') throw refuse(offset, `a ${type} mount needs target=…`)
  return { type, options }
}

function isType(type: string): type is RunMount['type'] {
  return Object.hasOwn(OPTIONS, type)
}
