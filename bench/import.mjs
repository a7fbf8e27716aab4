import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import { compete } from './measure.mjs'

/** Loading a library in a fresh process; Node's own start is not counted. The floor is a module of Node's own. */
export async function importing() {
  const rival = (name) => {
    try { createRequire(import.meta.url).resolve(name); return undefined } catch { return `${name} is not installed` }
  }
  return {
    name: 'import', unit: 'ms',
    ...await compete([
      { name: 'mayfly', once: () => loading('@mayfly/core') },
      { name: 'floor', once: () => loading('node:os') },
      { name: 'testcontainers', absent: rival('testcontainers'), once: () => requiring('testcontainers') },
    ], { rounds: 20 }),
  }
}

function loading(name) {
  return timed('module', `await import(${JSON.stringify(name)})`)
}

/** The way that finds packages on NODE_PATH, too. */
function requiring(name) {
  return timed('commonjs', `require(${JSON.stringify(name)})`)
}

async function timed(type, load) {
  const script = `const began = performance.now(); ${load}; console.log(performance.now() - began)`
  const { stdout } = await promisify(execFile)(process.execPath, [`--input-type=${type}`, '-e', script], { cwd: import.meta.dirname })
  return Number(stdout)
}
