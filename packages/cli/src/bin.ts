import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { loadCompiled } from './compiled.js'

// Node takes the flag for its own, wherever it stands, and sets here what is meant for a container.
if (process.argv.some((word) => word === '--env-file' || word.startsWith('--env-file=')) && process.platform === 'linux') {
  const own = new Set(readFileSync('/proc/self/environ', 'utf8').split('\0').map((pair) => pair.split('=')[0]))
  for (const name of Object.keys(process.env)) if (!own.has(name)) delete process.env[name]
}

const { main } = loadCompiled(join(__dirname, 'commands.js'), process.argv[2] ?? '') as typeof import('./main.js')
void main(process.argv.slice(2))
