// While the commands are read, the supervisor of a `run` in the foreground can start already.
const words = process.argv.slice(2)
const elsewhere = ['--detach', '--help']
if (words[0] === 'run' && words.length > 1 && !words.some((word) => elsewhere.includes(word) || /^-[itP]*d/.test(word))) {
  // What goes wrong is told by the command itself.
  void import('@mayfly/core').then(({ warmUp }) => warmUp()).catch(() => undefined)
}
await import('./main.js')
