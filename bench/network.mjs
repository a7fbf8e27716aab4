import { execFile, spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { percentiles } from './measure.mjs'
import { installed } from './processes.mjs'

const execute = promisify(execFile)
const SECONDS = Number(process.env.MAYFLY_BENCH_SECONDS ?? 1)
const PGBENCH = '/usr/lib/postgresql/17/bin/pgbench'
const ROUNDS = Number(process.env.MAYFLY_BENCH_ROUNDS ?? 5)

/** The ways to a container: its address, a port of the loopback, which the supervisor copies, and its socket handed in. */
const WAYS = { address: '', loopback: ' through the loopback', direct: ' on a socket handed in' }
const RIVALS = ['floor', 'docker']

/**
 * What goes through a container's address in a second: pgbench's SELECTs with 1 client and with 8, wrk's requests to
 * httpd, by IPv6 too, and datagrams that come back. The floor is the same server from the same files, bare on the loopback; further cases are the other ways. All ways, the
 * floor and Docker are measured in one and the same round.
 */
export async function network(setting) {
  const database = await postgres(setting)
  const sql = (clients) => contestantsOf(database.servers, (server) => pgbench(database.root, server, clients))
  const web = await httpd(setting)
  const gets = (clients) => contestantsOf(web, (server) => wrk(server, clients))
  const six = contestantsOf({ ...web, loopback: overSix(web.loopback), floor: overSix(web.floor), docker: { absent: 'publishes at 127.0.0.1 here' } }, (server) => wrk(server, 16))
  const datagrams = await shouting(setting)
  const turns = contestantsOf(datagrams.servers, (server) => turnsOf(datagrams.root, server))
  const series = [
    ...await race('pgbench', '1 client', sql(1), Object.keys(WAYS)), ...await race('pgbench', '8 clients', sql(8), Object.keys(WAYS)),
    ...await race('wrk', '1 connection', gets(1), ['address']), ...await race('wrk', '16 connections', gets(16), Object.keys(WAYS)),
    ...await race('wrk', '16 connections, IPv6', six, ['loopback']), ...await race('datagrams', '1 client, there and back', turns, ['address', 'loopback']),
  ]
  const { case: _, ...headline } = series[0]
  return { name: 'network', unit: 'transactions per second, pgbench select-only with 1 client', ...headline, series: series.slice(1) }
}

function contestantsOf(servers, measure) {
  return Object.fromEntries(Object.entries(servers).map(([name, server]) => [name, server.absent ?? (() => measure(server))]))
}

/** A case for each way. More is better: the ratio is ours to theirs. By turns, so that what disturbs the machine disturbs all alike. */
async function race(program, load, contestants, ways) {
  const names = [...ways, ...RIVALS]
  const rates = new Map(names.map((name) => [name, []]))
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const name of names) {
      const once = contestants[name]
      if (typeof once !== 'function') continue
      const rate = await once()
      if (round >= 0) rates.get(name).push(rate)
    }
  }
  const figures = (name) => typeof contestants[name] === 'function' ? percentiles(rates.get(name)) : { absent: contestants[name] }
  const [floor, docker] = RIVALS.map(figures)
  return ways.map((way) => {
    const mayfly = figures(way)
    const ratio = (other) => other.absent === undefined && mayfly.absent === undefined ? Number((mayfly.p50 / other.p50).toPrecision(4)) : undefined
    const ratios = Object.entries({ floor: ratio(floor), docker: ratio(docker) }).filter(([, value]) => value !== undefined)
    return { case: `${program}${WAYS[way]}, ${load}`, mayfly, floor, rivals: { docker }, ratio: Object.fromEntries(ratios) }
  })
}

async function postgres(setting) {
  const env = { POSTGRES_HOST_AUTH_METHOD: 'trust' }
  const root = await setting.rootfs('postgres')
  const { run, wait } = setting.core
  const ready = wait.all(wait.log('ready to accept connections', { times: 2 }), wait.port(5432))
  const [own, looped, direct] = await Promise.all([undefined, true, 'direct'].map((loopback) => run('postgres', { env, ready, loopback })))
  const port = await freePort()
  const data = join(root, 'data')
  mkdirSync(data)
  bare(setting, root, ['sh', '-c', `chown postgres /data && exec docker-entrypoint.sh postgres -p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=/tmp`], { ...env, PGDATA: '/data/pg' })
  const servers = {
    address: { host: own.host, port: own.port(5432) }, loopback: { host: looped.host, port: looped.port(5432) },
    direct: { host: direct.host, port: direct.port(5432) }, floor: { host: '127.0.0.1', port },
    docker: await docker(setting, 'postgres', 5432, env),
  }
  for (const server of Object.values(servers)) {
    if (server.absent === undefined) await until(() => execute('chroot', [root, PGBENCH, '-i', '-q', '-s', '5', '-h', server.host, '-p', String(server.port), '-U', 'postgres', 'postgres']))
  }
  return { root, servers }
}

async function pgbench(root, { host, port }, clients) {
  const words = ['-S', '-n', '-M', 'prepared', '-T', String(SECONDS), '-c', String(clients), '-j', '1', '-h', host, '-p', String(port), '-U', 'postgres', 'postgres']
  const { stdout } = await execute('chroot', [root, PGBENCH, ...words])
  return Number(/tps = ([\d.]+)/.exec(stdout)[1])
}

async function httpd(setting) {
  const { run } = setting.core
  const root = await setting.rootfs('httpd')
  const [own, looped, direct] = await Promise.all([undefined, true, 'direct'].map((loopback) => run('httpd', { loopback })))
  const port = await freePort()
  bare(setting, root, ['sh', '-c', `sed -i 's/^Listen .*/Listen 127.0.0.1:${port}\\nListen [::1]:${port}/' /usr/local/apache2/conf/httpd.conf && cd /usr/local/apache2 && exec httpd-foreground`], { HTTPD_PREFIX: '/usr/local/apache2' })
  await until(() => reachable('127.0.0.1', port))
  const absent = installed('wrk') ? undefined : 'wrk is not installed'
  const server = (host, number) => absent === undefined ? { host, port: number } : { absent }
  return {
    address: server(own.host, own.port(80)), loopback: server(looped.host, looped.port(80)), direct: server(direct.host, direct.port(80)), floor: server('127.0.0.1', port),
    docker: absent === undefined ? await docker(setting, 'httpd', 80, {}) : { absent },
  }
}

async function wrk({ host, port }, connections) {
  const { stdout } = await execute('wrk', ['-t', '1', '-c', String(connections), '-d', `${SECONDS}s`, `http://${host}:${port}/`])
  return Number(/Requests\/sec: +([\d.]+)/.exec(stdout)[1])
}

function overSix(server) {
  return server.absent === undefined ? { ...server, host: '[::1]' } : server
}

/** Answers every datagram. */
async function shouting(setting) {
  const { run, wait } = setting.core
  const root = await setting.rootfs('debian')
  const serve = (port) => ['perl', '-e', 'use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => $ARGV[0], Proto => "udp") or die; $| = 1; print "up\\n"; while (defined $s->recv(my $m, 65536)) { $s->send($m) }', String(port)]
  const [own, looped] = await Promise.all([false, true].map((loopback) => run('debian', { command: serve(53), ports: ['53/udp'], loopback, ready: wait.log('up') })))
  const port = await freePort()
  // The client runs in the same files, and perl opens it.
  await execute('mknod', ['-m', '666', join(root, 'dev/null'), 'c', '1', '3']).catch(() => undefined)
  bare(setting, root, serve(port), {})
  const servers = {
    address: { host: own.host, port: own.port(53, 'udp') }, loopback: { host: looped.host, port: looped.port(53, 'udp') }, floor: { host: '127.0.0.1', port },
    docker: await docker(setting, 'debian', '53/udp', {}, serve(53)),
  }
  for (const server of Object.values(servers)) if (server.absent === undefined) await until(async () => { if (await turnsOf(root, server, 0.1) === 0) throw new Error('no answer') })
  return { root, servers }
}

async function turnsOf(root, { host, port }, seconds = SECONDS) {
  const ask = 'use IO::Socket::INET; use POSIX (); sub ticks { (POSIX::times())[0] } my ($h, $p, $t) = @ARGV; my $s = IO::Socket::INET->new(PeerAddr => $h, PeerPort => $p, Proto => "udp") or die; '
    + 'setsockopt($s, SOL_SOCKET, SO_RCVTIMEO, pack("l!l!", 1, 0)); my ($n, $m, $end) = (0, "", ticks() + 100 * $t); while (ticks() < $end) { $s->send("x" x 64); $n++ if defined $s->recv($m, 100) } print $n / $t'
  const { stdout } = await execute('chroot', [root, 'perl', '-e', ask, host, String(port), String(seconds)])
  return Number(stdout)
}

/** A program of the image's files with nothing around it but /dev and /proc. */
function bare(setting, root, words, env) {
  const script = 'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
  const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin:/usr/local/apache2/bin'
  setting.keep(spawn('unshare', ['--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private', 'sh', '-c', script, root, ...words], {
    stdio: 'ignore', env: { PATH: path, LANG: 'C.UTF-8', ...env },
  }))
}

/** `port`: a number, or `53/udp`. */
async function docker(setting, image, port, env, words = []) {
  if (setting.docker.absent !== undefined) return { absent: setting.docker.absent }
  const variables = Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`])
  const { stdout } = await execute('docker', ['run', '-d', '--rm', '-p', `127.0.0.1::${port}`, ...variables, await setting.docker.image(image), ...words])
  setting.keep({ kill: () => void execute('docker', ['rm', '-f', stdout.trim()]).catch(() => undefined) })
  const shown = await execute('docker', ['port', stdout.trim(), typeof port === 'number' ? `${port}/tcp` : port])
  const number = Number(shown.stdout.trim().split('\n')[0].split(':').at(-1))
  if (typeof port === 'number') await until(() => reachable('127.0.0.1', number))
  return { host: '127.0.0.1', port: number }
}

function reachable(host, port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port }, () => { socket.destroy(); resolve() }).once('error', reject)
  })
}

async function until(attempt) {
  for (const deadline = Date.now() + 60_000; ;) {
    try {
      return await attempt()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => { setTimeout(resolve, 50) })
    }
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}
