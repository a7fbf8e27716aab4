import { MayflyError } from '../errors.js'
import { parseDockerfile } from './dockerfile/parse.js'
import { configAfter } from './instruction.js'
import { scratch, type RawConfig } from './state.js'

const ALLOWED = ['CMD', 'ENTRYPOINT', 'ENV', 'EXPOSE', 'LABEL', 'ONBUILD', 'USER', 'VOLUME', 'WORKDIR', 'STOPSIGNAL', 'HEALTHCHECK', 'SHELL']

/** An image's settings with instructions applied that change nothing else: what `commit --change` takes. */
export function applyChanges(config: RawConfig, changes: readonly string[]): RawConfig {
  return changes.reduce((before: RawConfig, change) => {
    const source = { file: '--change', text: `FROM scratch\n${change}` }
    const { directives, instructions } = parseDockerfile(source)
    const [, instruction, ...more] = instructions
    if (instruction === undefined || more.length > 0 || !ALLOWED.includes(instruction.kind)) {
      throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${JSON.stringify(change)} cannot be a change`, { hint: `One of ${ALLOWED.join(', ')}, as in a Dockerfile.` })
    }
    const state = { ...scratch({ os: 'linux', architecture: '' }), config: before, ownCmd: true }
    return configAfter({ source, escape: directives['escape'] ?? '\\' }, { state, instruction })
  }, config)
}
