// Runs one scenario again and again, each time killing somebody at another step. It is alone in pid, mount and network
// namespaces (see kill.ts), so that whatever is left there afterwards was left by us.
//   node harness.mjs PLAN-FILE     prints { reached, missed, failures } as JSON
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync, openSync, readSync, closeSync, mkdtempSync, rmSync, utimesSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { bytes, Client, METHOD, operation, u16, u32, u8 } from './client.mjs'

const ROLES = ['janitor', 'supervisor', 'start', 'exec']
const AWAIT = 34, VETH = 3
const PATIENCE = 5000

const plan = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const native = plan.native
const home = mkdtempSync(join(plan.scratch, 'home-'))
mkdirSync(join(home, 'runs'), { mode: 0o700 })
mkdirSync(join(home, 'sockets'), { mode: 0o700 })
const list = { foundation: Buffer.from(plan.foundation, 'base64'), rest: Buffer.from(plan.rest, 'base64'), exec: Buffer.from(plan.exec, 'base64') }
const bystanders = new Set(processes())
const mounts = readFileSync('/proc/self/mounts', 'utf8')
let cgroups = []

const result = { counts: {}, reached: 0, missed: 0, failures: [] }
for (const scenario of plan.scenarios) {
  const counted = await once(scenario, undefined)
  if (counted.trouble !== undefined) {
    result.failures.push({ scenario, ...counted })
    continue
  }
  result.counts[scenario] = Object.fromEntries(ROLES.map((role, at) => [role, counted.counts[at]]))
  let turn = 0
  for (const [at, role] of ROLES.entries()) {
    for (let index = 1; index <= counted.counts[at]; index += 1) {
      for (const victim of plan.victims) {
        turn += 1
        if (turn % plan.shards !== plan.shard || (turn / plan.shards | 0) % plan.every !== 0) continue
        const { reached, trouble } = await once(scenario, { role: at, index, victim })
        if (reached) result.reached += 1
        else result.missed += 1
        if (trouble !== undefined) result.failures.push({ scenario, role, index, victim, trouble })
        if (result.failures.length > 20) finish()
      }
    }
  }
}
finish()

function finish() {
  process.stdout.write(JSON.stringify(result))
  rmSync(home, { recursive: true, force: true })
  process.exit(0)
}

/** One run from its start to its end, with a kill on the way; then what is left of it. */
async function once(scenario, kill) {
  const id = randomBytes(6).toString('hex')
  const dir = join(home, 'runs', id)
  mkdirSync(dir, { mode: 0o700 })
  mkdirSync(join(dir, 'scratch'), { mode: 0o700 })
  const socketPath = join(home, 'sockets', `${id}.sock`)
  const shared = join(home, 'shared')
  writeFileSync(shared, Buffer.concat([u32(kill?.role ?? 0), u32(kill?.index ?? 0), Buffer.alloc(56)]))
  const owner = spawn(native, ['own', 'supervise', '--run', id, '--dir', dir, '--socket', socketPath], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'], env: { MAYFLY_INJECT: shared },
  })
  const ended = new Promise((resolve) => owner.once('exit', resolve))
  let complaint = ''
  owner.stderr.on('data', (text) => { complaint += text })
  const client = new Client(owner.stdio[3])
  const state = { id, dir, socketPath, client, worker: undefined }
  let reached = false
  owner.stdio[4].on('error', () => undefined)
  owner.stdio[4].on('data', () => {
    reached = true
    strike(kill.victim, owner, shared, state)
    owner.stdio[4].write('g')
  })
  const steps = { slot: slotScenario, fresh: freshScenario, worker: workerScenario }[scenario]
  let timer
  const late = new Promise((resolve) => { timer = setTimeout(resolve, PATIENCE, 'late') })
  // Who lost the run has nothing more to do; who is told that it went wrong gives up.
  const outcome = await Promise.race([steps(state).then(() => 'done', (error) => error), late])
  clearTimeout(timer)
  const counts = numbers(shared).slice(4)
  if (kill === undefined) cgroups = readFileSync(join(dir, 'cgroups'), 'utf8').split('\n').filter(Boolean).map((path) => path.replace(id, ''))
  client.close()
  state.worker?.close()
  owner.stdio[4].end()
  await Promise.race([ended, new Promise((resolve) => { setTimeout(resolve, PATIENCE) })])
  let trouble = outcome === 'late' ? 'the scenario hangs' : undefined
  if (trouble === undefined && !reached && outcome !== 'done') trouble = `the scenario failed: ${outcome.message} ${complaint}`
  const processesLeft = await gone(() => strangers())
  // The next run makes up for a janitor that was killed; for one that had not begun, when it is sure of that.
  if (kill?.victim.includes('janitor')) {
    await finishDeadRuns()
    if (existsSync(dir) && !existsSync(join(dir, 'lock'))) {
      utimesSync(dir, 0, 0)
      await finishDeadRuns()
    }
  }
  const left = [...processesLeft, ...await gone(() => leftovers(id))]
  if (left.length > 0) trouble = `${trouble === undefined ? '' : `${trouble}; `}left: ${left.join(', ')}`
  if (left.length > 0) clear(id)
  return { counts, reached, trouble }
}

function finishDeadRuns() {
  return new Promise((resolve) => { spawn(native, ['gc', join(home, 'runs')], { stdio: 'ignore' }).once('close', resolve) })
}

function strike(victim, owner, shared, state) {
  const [, , janitor, supervisor] = numbers(shared)
  const end = (pid) => { try { if (pid > 0) process.kill(pid, 'SIGKILL') } catch { /* it ended before */ } }
  if (victim.includes('supervisor')) end(supervisor)
  if (victim.includes('janitor')) end(janitor)
  if (victim.includes('owner')) end(owner.pid)
  if (victim.includes('worker')) state.worker?.close()
}

async function slotScenario(state) {
  const { network } = await hello(state.client)
  const name = bytes('c'.repeat(64))
  await state.client.request(METHOD.create, name, u32(0), u32(plan.namespaces), bytes(''), bytes(''), bytes(''), u16(0), u32(0), bytes(Buffer.concat([foundation(network, 2), operation(AWAIT)])))
  mkdirSync(join(state.dir, 'scratch', 'c', 'upper'), { recursive: true })
  mkdirSync(join(state.dir, 'scratch', 'c', 'work'))
  await state.client.request(METHOD.start, name, u32(0), bytes('{}'), bytes(join(state.dir, 'scratch', 'c')), u16(0), u32(0), bytes(rest(state, true)))
  await use(state.client, name, network)
}

async function freshScenario(state) {
  const { network } = await hello(state.client)
  const name = bytes('c'.repeat(64))
  await create(state.client, name, Buffer.concat([foundation(network, 2), rest(state, false)]))
  await use(state.client, name, network)
}

/** Another process of the user's has a container in the run: it dies with that process, not with the run. */
async function workerScenario(state) {
  const { network } = await hello(state.client)
  const socket = connect(state.socketPath)
  state.worker = new Client(socket)
  const mine = bytes('w'.repeat(64))
  const work = async () => {
    await hello(state.worker)
    await create(state.worker, mine, Buffer.concat([foundation(network, 3), rest(state, false)]))
    await state.worker.stream(METHOD.exec, mine, u32(0), u32(1 << 20), bytes(list.exec))
    state.worker.close()
  }
  const lost = await work().then(() => false, () => true)
  if (lost && state.client.lost) throw new Error('lost')
  // What the worker made must be gone from a run that goes on; asked until it is.
  for (const until = Date.now() + PATIENCE; ;) {
    const there = await state.client.request(METHOD.wait, mine).then(() => true, (error) => !/no such container/.test(error.message) && error.message !== 'lost')
    if (!there) return
    if (Date.now() > until) throw new Error('the container outlives its worker')
  }
}

/** An exec, a published port, then a stop that is heeded, then the removal. */
async function use(client, name, network) {
  await client.stream(METHOD.exec, name, u32(0), u32(1 << 20), bytes(list.exec))
  await client.request(METHOD.portOpen, u32(1), u8(1), u32(0), u16(0), u32(0), bytes(''))
  await client.request(METHOD.portTarget, u32(1), name, u32(network.subnet + 2), u16(80), bytes(''))
  await client.request(METHOD.signal, name, u32(0), u32(15))
  await client.request(METHOD.wait, name)
  await client.request(METHOD.remove, name)
}

async function hello(client) {
  const reply = await client.request(METHOD.hello, u32(1), bytes('0.1.0'), bytes('token'))
  let at = 4
  for (let text = 0; text < 2; text += 1) at += 4 + reply.readUInt32LE(at)
  return { network: { subnet: reply.readUInt32LE(at + 4), prefix: reply[at + 8], gateway: reply.readUInt32LE(at + 9) } }
}

function create(client, name, operations) {
  return client.request(METHOD.create, name, u32(0), u32(plan.namespaces), bytes(''), bytes('{}'), bytes(''), u16(0), u32(0), bytes(operations))
}

/** The foundation with this run's network: after joining the groups and bringing up the loopback. */
function foundation({ subnet, prefix, gateway }, host) {
  let at = 0
  for (let record = 0; record < 2; record += 1) at += 8 + list.foundation.readUInt32LE(at + 4)
  const veth = prefix === 0 ? [] : [operation(VETH, u32(subnet + host), u8(prefix), u32(gateway))]
  return Buffer.concat([list.foundation.subarray(0, at), ...veth, list.foundation.subarray(at)])
}

/** The plan's list is for a scratch directory whose place has the same length as every run's. */
function rest({ dir }, onDisk) {
  if (!onDisk) return list.rest
  const given = Buffer.from(plan.onDisk, 'base64')
  const mark = Buffer.from(plan.mark)
  const place = Buffer.from(join(dir, 'scratch', 'c').padStart(mark.length, '/'))
  if (place.length !== mark.length) throw new Error(`a scratch directory of ${place.length} bytes`)
  for (let at = given.indexOf(mark); at >= 0; at = given.indexOf(mark, at + 1)) place.copy(given, at)
  return given
}

async function gone(look) {
  for (const until = Date.now() + PATIENCE; ;) {
    const left = look()
    if (left.length === 0 || Date.now() > until) return left
    await new Promise((resolve) => { setTimeout(resolve, 2) })
  }
}

function strangers() {
  return processes().filter((pid) => !bystanders.has(pid)).map((pid) => `process ${pid} (${name(pid)})`)
}

function processes() {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && !/^\d+ \(.*\) Z/s.test(text(`/proc/${name}/stat`)))
}

function leftovers(id) {
  const left = []
  for (const place of ['runs', 'trash', 'sockets']) {
    if (existsSync(join(home, place))) left.push(...readdirSync(join(home, place)).map((name) => `${place}/${name}`))
  }
  left.push(...cgroups.map((path) => path + id).filter((path) => existsSync(path)))
  for (const line of text('/proc/net/dev').split('\n').slice(2)) {
    const interface_ = line.split(':')[0].trim()
    if (interface_ !== '' && interface_ !== 'lo') left.push(`interface ${interface_}`)
  }
  for (const line of (text('/proc/net/tcp') + text('/proc/net/tcp6')).split('\n')) if (/^ *\d+: \S+ \S+ 0A /.test(line)) left.push(`listener ${line.split(' ')[1]}`)
  if (text('/proc/self/mounts') !== mounts) left.push('mounts')
  return left
}

/** So that one failure is not counted at every later step. */
function clear(id) {
  for (const pid of processes()) if (!bystanders.has(pid)) try { process.kill(Number(pid), 'SIGKILL') } catch { /* gone */ }
  for (const place of ['runs', 'trash', 'sockets']) for (const name of existsSync(join(home, place)) ? readdirSync(join(home, place)) : []) rmSync(join(home, place, name), { recursive: true, force: true })
  void id
}

function numbers(path) {
  const buffer = Buffer.alloc(64)
  const fd = openSync(path, 'r')
  readSync(fd, buffer, 0, 64, 0)
  closeSync(fd)
  return Array.from({ length: 8 }, (_, at) => buffer.readUInt32LE(4 * at))
}

function name(pid) {
  return text(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim() || text(`/proc/${pid}/comm`).trim()
}

function text(path) {
  try { return readFileSync(path, 'utf8') } catch { return '' }
}
