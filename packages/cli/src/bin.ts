// While the commands are read, the supervisor of a `run --rm` in the foreground can start already: others are the keeper's.
const words = process.argv.slice(2)
const at = words[0] === 'container' ? 1 : 0
if (words[at] === 'run' && words.includes('--rm') && !words.some((word) => ['--detach', '--tty', '--help'].includes(word) || /^-[a-zA-Z]*[dt]/.test(word))) {
  // What goes wrong is told by the command itself.
  void import('@mayfly/core').then(({ warmUp }) => warmUp()).catch(() => undefined)
}
await import('./main.js')
