import { spawn } from 'node:child_process'

/**
 * Runs a command; what it printed appears only in the error, when it fails.
 * @param {string} command @param {string[]} words @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<string>} its standard output
 */
export function run(command, words, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let both = ''
    child.stdout.on('data', (chunk) => { output += chunk; both += chunk })
    child.stderr.on('data', (chunk) => { both += chunk })
    child.once('error', (error) => reject(new Error(`${command} could not be started: ${error.message}`)))
    child.once('close', (code, signal) => {
      if (code === 0) resolve(output)
      else reject(new Error(`${[command, ...words].join(' ')} ended with ${code ?? signal}\n${both.slice(-6000)}`))
    })
  })
}
