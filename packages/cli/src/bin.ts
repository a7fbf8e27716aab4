import { join } from 'node:path'

import { loadCompiled } from './compiled.js'

const { main } = loadCompiled(join(__dirname, 'commands.js'), process.argv[2] ?? '') as typeof import('./main.js')
void main(process.argv.slice(2))
