import { execFileSync, spawn } from 'node:child_process'
import { connect } from 'node:net'

/** Whether a program is installed. @param {string} name */
export function installed(name) {
  try { execFileSync('which', [name], { stdio: 'ignore' }); return true } catch { return false }
}

/** Milliseconds from the start of a program to the first byte it prints; waits for its end. */
export function firstByte(command, words, options = {}) {
  return new Promise((resolve, reject) => {
    const began = performance.now()
    const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'], ...options })
    let took
    let complaint = ''
    child.stdout.once('data', () => { took = performance.now() - began })
    child.stderr.on('data', (chunk) => { complaint = (complaint + chunk).slice(-500) })
    child.once('error', reject)
    child.once('close', (code) => {
      if (took !== undefined) resolve(took)
      else reject(new Error(complaint || `${command} ended with ${code} and printed nothing`))
    })
  })
}

/** Resolves when a program has run and ended well. */
export function wholeRun(command, words) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { stdio: 'ignore' })
    child.once('error', reject)
    child.once('exit', (code) => { if (code === 0) resolve(); else reject(new Error(`${command} ended with ${code}`)) })
  })
}

/** Resolves when a Redis server answers PING; asks at once again, without a pause that would count. */
export function redisAnswers(host, port, deadline = performance.now() + 20_000) {
  return new Promise((resolve, reject) => {
    const again = () => {
      if (performance.now() > deadline) reject(new Error(`no PONG from ${host}:${port} in time`))
      else setTimeout(() => { redisAnswers(host, port, deadline).then(resolve, reject) }, 1)
    }
    const socket = connect({ host, port, noDelay: true })
    socket.once('connect', () => { socket.write('PING\r\n') })
    socket.once('data', (bytes) => {
      socket.destroy()
      if (bytes.toString().startsWith('+PONG')) resolve()
      else again()
    })
    socket.once('error', () => { socket.destroy(); again() })
  })
}
