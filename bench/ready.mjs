import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { compete } from './measure.mjs'
import { installed } from './processes.mjs'

/** Listens on port 80 some time after its start, says when that was on the clock that the machine's processes share, and answers HTTP. */
const service = `use Socket;
  select(undef, undef, undef, 0.03 + rand(0.05));
  socket(my $s, AF_INET, SOCK_STREAM, 0); setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
  bind($s, pack_sockaddr_in($ARGV[0], INADDR_ANY)) or die; listen($s, 5) or die;
  my $now = "\\0" x 16; syscall($ARGV[1], 1, $now); my ($seconds, $rest) = unpack("q q", $now);
  $| = 1; printf "listening %d%09d\\n", $seconds, $rest;
  while (accept(my $c, $s)) { sysread($c, my $r, 4096); syswrite($c, "HTTP/1.0 200 OK\\r\\n\\r\\n"); close $c }`

/** clock_gettime's number (asm/unistd.h). */
const CLOCK_GETTIME = { x64: 228, arm64: 113 }[process.arch]
const words = (port) => ['perl', '-e', service, String(port), String(CLOCK_GETTIME)]

/**
 * What a strategy adds: from the moment a service listens to the moment run() has answered. The floor is a child process
 * whose first line is waited for, which is how soon this process can know anything.
 */
export async function ready(setting) {
  const { run, wait } = setting.core
  const late = (line, now) => Number(now - BigInt(/listening (\d+)/.exec(line)[1])) / 1e6
  const mayfly = (strategy, options = {}) => async () => {
    const container = await run('debian', { command: words(80), ports: [80], ready: strategy, ...options })
    const now = process.hrtime.bigint()
    try {
      for await (const { text } of container.logs({ follow: true })) return late(text, now)
    } finally {
      await container.stop({ timeout: 0 })
    }
  }
  const floor = async () => {
    const [program, ...rest] = words(0)
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      for await (const line of createInterface({ input: child.stdout })) return late(line, process.hrtime.bigint())
    } finally {
      child.kill('SIGKILL')
    }
  }
  const { name, absent, library } = setting.testcontainers
  const image = absent ?? await setting.docker.image('debian')
  const docker = (strategy) => async () => {
    const container = await new library.GenericContainer(image).withCommand(words(80)).withExposedPorts(80).withWaitStrategy(strategy(library.Wait)).start()
    const now = process.hrtime.bigint()
    try {
      const lines = createInterface({ input: await container.logs() })
      for await (const line of lines) if (line.includes('listening')) return late(line, now)
    } finally {
      await container.stop({ timeout: 0 })
    }
  }
  const race = (strategy, theirs, options) => compete([
    { name: 'mayfly', once: mayfly(strategy, options) }, installed('perl') ? { name: 'floor', once: floor } : { name: 'floor', absent: 'perl is not installed' },
    theirs === undefined ? { name, absent: absent ?? 'has no such thing' } : { name, absent, once: docker(theirs) },
  ], { rounds: 25 })
  const series = []
  const add = async (title, ...rest) => series.push({ case: title, ...await race(...rest) })
  const port = await race(wait.port(80), (theirs) => theirs.forListeningPorts())
  await add('a log line', wait.log('listening'), (theirs) => theirs.forLogMessage(/listening/))
  await add('http', wait.http('/', { port: 80 }), (theirs) => theirs.forHttp('/', 80))
  await add('a port, through the loopback', wait.port(80), undefined, { loopback: true })
  await add('a port whose socket is handed in', wait.port(80), undefined, { loopback: 'direct' })
  return { name: 'ready', unit: 'ms after the service listens', ...port, series }
}
