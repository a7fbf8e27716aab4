// Proves the images without Mayfly: unpacks each with tar, enters it with unshare and chroot, asks the server.
//   node test/images/verify.mjs [NAME …]        needs root and built images
// Each image runs in mount, pid and network namespaces of its own; its files are on a tmpfs that goes with them.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { readImage } from './stored.mjs'

const me = fileURLToPath(import.meta.url)
const root = '/tmp/image'
// Not loopback's own: servers trust 127.0.0.1 more than others.
const address = '192.0.2.1'
const limit = Date.now() + 60_000
let image

const checks = {
  async busybox() {
    expect('echo', inside(['echo', 'hello']), 'hello\n')
    expect('sh', inside(['sh', '-c', 'id -u; stat -c %a /tmp /root']), '0\n1777\n700\n')
    expect('one binary', inside(['sh', '-c', '[ /bin/ls -ef /bin/busybox ] && echo same']), 'same\n')
  },
  async debian() {
    expect('release', inside(['sh', '-c', '. /etc/os-release; echo $VERSION_CODENAME']), 'bookworm\n')
    expect('no package lists', inside(['sh', '-c', 'find /var/lib/apt/lists /var/cache/apt -type f -size +0']), '')
  },
  async httpd() {
    start()
    const answer = await eventually(async () => (await fetch(`http://${address}/`)).text())
    expect('page', answer, '<html><body><h1>It works!</h1></body></html>\n')
    expect('missing page', (await fetch(`http://${address}/nothing`)).status, 404)
    expect('htdocs', inside(['sh', '-c', 'pwd; ls htdocs; httpd -t 2>&1']), '/usr/local/apache2\nindex.html\nSyntax OK\n')
  },
  async redis() {
    start(['--appendonly', 'yes'])
    expect('ping', await eventually(() => ask(6379, 'PING\r\n')), '+PONG\r\n')
    expect('set', await ask(6379, 'SET a 1\r\n'), '+OK\r\n')
    expect('user', inside(['sh', '-c', 'stat -c %u:%g /data /data/appendonlydir']), '999:999\n999:999\n')
    expect('open to other addresses', inside(['redis-cli', 'config', 'get', 'protected-mode']), 'protected-mode\nno\n')
  },
  async nginx() {
    start()
    expect('page', (await eventually(async () => (await fetch(`http://${address}/`)).text())).includes('Welcome to nginx!'), true)
  },
  async mariadb() {
    const refused = spawnSync('chroot', [root, ...words()], { env: environment(), encoding: 'utf8' })
    expect('no password is refused', refused.status === 1 && /MARIADB_ROOT_PASSWORD/.test(refused.stderr), true)
    start([], ["MARIADB_ROOT_PASSWORD=a 'secret", 'MARIADB_DATABASE=shop', 'MARIADB_USER=app', 'MARIADB_PASSWORD=x'])
    const query = (user, password, sql) => inside(['mariadb', '-h', address, `-u${user}`, `-p${password}`, '-Ne', sql])
    expect('user', await eventually(async () => query('app', 'x', 'SELECT CURRENT_USER()')), 'app@%\n')
    expect('root', query('root', "a 'secret", 'SELECT CURRENT_USER()'), 'root@%\n')
    expect('nobody else', query('root', "a 'secret", "SELECT count(*) FROM mysql.global_priv WHERE User = ''"), '0\n')
    expect('database', query('app', 'x', 'SHOW DATABASES LIKE \'shop\''), 'shop\n')
  },
  async rabbitmq() {
    start([], ['RABBITMQ_DEFAULT_USER=app', 'RABBITMQ_DEFAULT_PASS=x'])
    expect('protocol', await eventually(() => ask(5672, 'AMQP\0\0\0\0')), 'AMQP\0\0\t\u0001')
  },
  async postgres() {
    const scripts = join(root, 'docker-entrypoint-initdb.d')
    writeFileSync(join(scripts, '1.sql'), 'CREATE TABLE one (n int); INSERT INTO one VALUES (41);')
    writeFileSync(join(scripts, '2.sql.gz'), gzipSync('UPDATE one SET n = n + 1;'))
    writeFileSync(join(scripts, '3.sh'), 'psql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "CREATE TABLE three ()"\n')
    writeFileSync(join(scripts, '4.sh'), '#!/bin/sh\npsql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "CREATE TABLE four ()"\n')
    chmodSync(join(scripts, '4.sh'), 0o755)
    const settings = ['POSTGRES_USER=app', 'POSTGRES_PASSWORD=a secret', 'POSTGRES_DB=shop', 'POSTGRES_INITDB_ARGS=--data-checksums --wal-segsize=1']
    const refused = spawnSync('chroot', [root, ...words()], { env: environment(), encoding: 'utf8' })
    expect('no password is refused', refused.status === 1 && /POSTGRES_PASSWORD/.test(refused.stderr), true)
    const log = start([], settings)
    const query = (sql, ...more) => inside(['psql', '-h', address, '-U', 'app', '-d', 'shop', '-Atc', sql], ['PGPASSWORD=a secret', ...more])
    expect('init scripts', await eventually(async () => query('SELECT n FROM one')), '42\n')
    expect('database, user', query('SELECT current_database(), current_user'), 'shop|app\n')
    expect('shell scripts', query("SELECT count(*) FROM pg_tables WHERE tablename IN ('three', 'four')"), '2\n')
    expect('initdb arguments', query('SHOW wal_segment_size'), '1MB\n')
    expect('locale', query('SELECT datcollate FROM pg_database WHERE datname = current_database()'), 'en_US.utf8\n')
    expect('listens everywhere', query('SHOW listen_addresses'), '*\n')
    expect('password is asked for', spawnSync('chroot', [root, 'psql', '-w', '-h', address, '-U', 'app', 'shop', '-c', ''], { env: environment() }).status, 2)
    expect('the message', log().includes('PostgreSQL init process complete; ready for start up.'), true)
    expect('owner', inside(['stat', '-c', '%u:%g %a', '/var/lib/postgresql/data']), '999:999 700\n')
  },
}

if (process.env.MAYFLY_VERIFY_INSIDE === undefined) outside(process.argv.slice(2))
else await inNamespaces(process.argv[2])

function outside(names) {
  for (const name of names.length === 0 ? Object.keys(checks) : names) {
    const began = performance.now()
    const { manifest } = readImage(name)
    const child = spawnSync('unshare', ['--mount', '--pid', '--net', '--fork', '--kill-child=KILL', '--mount-proc', process.execPath, me, name], {
      stdio: 'inherit', env: { ...process.env, MAYFLY_VERIFY_INSIDE: '1' },
    })
    const megabytes = manifest.layers.map(({ size }) => (size / 1e6).toFixed(1)).join(' + ')
    console.log(`${child.status === 0 ? 'ok    ' : 'FAILED'} ${name}  ${((performance.now() - began) / 1000).toFixed(1)} s, layers ${megabytes} MB`)
    if (child.status !== 0) process.exitCode = 1
  }
}

async function inNamespaces(name) {
  image = readImage(name)
  const packed = image.manifest.layers.map(({ digest }) => image.blob(digest))
  const busybox = readImage('busybox')
  const tools = busybox.blob(busybox.manifest.layers[0].digest)
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/tmp'])
  mkdirSync(root)
  for (const bytes of packed) {
    execFileSync('tar', ['-xzpf', '-', '--numeric-owner', '-C', root], { input: bytes, maxBuffer: 1 << 30 })
    applyWhiteouts(root)
  }
  if (existsSync(join(root, 'dev')) && readdirSync(join(root, 'dev')).length > 0) throw new Error('device nodes in the image')
  for (const directory of ['dev', 'proc']) mkdirSync(join(root, directory), { recursive: true })
  execFileSync('mount', ['--rbind', '/dev', join(root, 'dev')])
  execFileSync('mount', ['-t', 'proc', 'proc', join(root, 'proc')])
  mkdirSync('/tmp/tools')
  execFileSync('tar', ['-xzf', '-', '-C', '/tmp/tools'], { input: tools })
  execFileSync('/tmp/tools/bin/ip', ['link', 'set', 'lo', 'up'])
  execFileSync('/tmp/tools/bin/ip', ['address', 'add', `${address}/32`, 'dev', 'lo'])
  await checks[name]()
  // Being pid 1 of the namespace, this process takes the server with it.
  process.exit(0)
}

/** Starts the image as a runtime would; gives back what it has printed so far. */
function start(command, settings = []) {
  const output = openSync('/tmp/output', 'a')
  const child = spawn('chroot', [root, ...words(command)], {
    // A file: httpd opens its standard error by name, which Node's socket pairs do not allow.
    env: environment(settings), stdio: ['ignore', output, output],
  })
  const log = () => readFileSync('/tmp/output', 'utf8')
  child.once('close', (code) => { console.error(`ended with ${code}\n${log()}`); process.exit(1) })
  return log
}

/** Entrypoint and command, begun in the image's working directory. */
function words(command) {
  const { Entrypoint = [], Cmd = [], WorkingDir = '/' } = image.config.config
  const cmd = command === undefined || command.length === 0 ? Cmd : command
  return ['/bin/sh', '-c', 'cd "$0" && exec "$@"', WorkingDir, ...Entrypoint, ...cmd]
}

function inside(command, settings = []) {
  const { WorkingDir = '/' } = image.config.config
  return execFileSync('chroot', [root, '/bin/sh', '-c', 'cd "$0" && exec "$@"', WorkingDir, ...command], {
    env: environment(settings), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'],
  })
}

function environment(settings = []) {
  return Object.fromEntries([...image.config.config.Env, ...settings].map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]))
}

function applyWhiteouts(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.name.startsWith('.wh.')) {
      rmSync(path)
      rmSync(join(dirname(path), basename(path).slice(4)), { recursive: true, force: true })
    } else if (entry.isDirectory() && lstatSync(path).isDirectory()) applyWhiteouts(path)
  }
}

/** Whether a server is there can only be told by asking it again. */
async function eventually(attempt) {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (Date.now() > limit) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

function ask(port, text) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, address, () => socket.write(text))
    socket.once('data', (chunk) => { socket.destroy(); resolve(String(chunk)) })
    socket.once('error', reject)
  })
}

function expect(what, actual, wanted) {
  if (actual !== wanted) throw new Error(`${what}: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(actual)}`)
}
